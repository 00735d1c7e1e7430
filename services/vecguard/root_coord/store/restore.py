"""Backs up users, roles, grants and groups, and restores them."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from vecguard.concurrency.turns import in_turns
from vecguard.etcd import Compare, Delete, KeyValue, Operation, Put
from vecguard.etcd.reads import MOST_OPERATIONS, Reads, Snapshot
from vecguard.milvus_layout import CorruptRecordError, Keys, Record
from vecguard.milvus_layout.role_records import Grantee, group_value, role_value
from vecguard.milvus_layout.stored_roles import (
    StoredRole,
    grantees_of,
    grants_of,
    groups_of,
    privileges_of,
    roles_by_user,
    roles_of,
)
from vecguard.observability.log import get_logger
from vecguard.privileges.catalogue import ADMIN, PUBLIC, Catalogue
from vecguard.privileges.stored_names import ANY, api_name
from vecguard.root_coord.store.actors import readable_record
from vecguard.root_coord.store.grant_changes import changes_of
from vecguard.root_coord.store.group_changes import require_privileges
from vecguard.root_coord.store.guarded_writes import (
    GuardedWrites,
    Refusal,
    unknown_after_a_part,
)
from vecguard.root_coord.store.interface import Actor, Mutation, Outcome, StoredCredential
from vecguard.root_coord.store.role_interface import PrivilegeGroup, RoleBackup
from vecguard.usernames import ROOT

log = get_logger(__name__)

# In addition to what restores, a transaction has the conditions of the actor and of the fence.
_ROOM = MOST_OPERATIONS - 10
# Each time another change came between.
_MOST_ATTEMPTS = 5


async def back_up(reads: Reads, keys: Keys) -> Snapshot[RoleBackup]:
    """Returns all but root, admin, public and their grants. Raises CompactedError."""
    users = await reads.all_below(keys.users)
    at = users.revision
    mappings = await reads.all_below(keys.mappings, revision=at, keys_only=True)
    roles = await reads.all_below(keys.roles, revision=at)
    grantees = await reads.all_below(keys.grantees, revision=at)
    ids = await reads.all_below(keys.grantee_ids, revision=at)
    groups = await reads.all_below(keys.groups, revision=at)
    grants = await grants_of(
        await grantees_of(keys, grantees.value), await privileges_of(keys, ids.value)
    )
    users_roles = roles_by_user(keys, mappings.value)
    return Snapshot(
        at,
        RoleBackup(
            tuple(
                StoredCredential(
                    each.username,
                    each.password,
                    0,
                    each.description,
                    users_roles.get(each.username, ()),
                )
                for each in _users(keys, users.value)
            ),
            tuple(
                StoredRole(role.name, role.description, grants.get(role.name, ()))
                for role in roles_of(keys, roles.value)
                if role.name not in (ADMIN, PUBLIC)
            ),
            tuple(
                PrivilegeGroup(name, members)
                for name, members in groups_of(keys, groups.value).items()
            ),
        ),
    )


def _users(keys: Keys, kvs: Iterable[KeyValue]) -> Iterator[StoredCredential]:
    """Reads the users with usable passwords, without root."""
    for kv in kvs:
        username = kv.key.decode(errors="replace").removeprefix(keys.users)
        if username == ROOT:
            continue
        record = readable_record(kv)
        try:
            yield StoredCredential(username, record.password, 0, record.description)
        except CorruptRecordError as error:
            log.warning("user_not_backed_up", user=username, error=str(error))


@dataclass(slots=True)
class _Part:
    """The content of one transaction."""

    conditions: dict[Compare, None] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)


class _Granted(NamedTuple):
    """A grant with the id of its grantee."""

    grantee: Grantee
    id: str
    privilege: str
    grantor: str


class Restore:
    """One restoration.

    What fits one transaction is one. A larger backup is written in this order: groups, grants and
    users' roles, which have no effect while there are no such roles and users, then the roles,
    then the users.
    """

    def __init__(
        self,
        reads: Reads,
        keys: Keys,
        writes: GuardedWrites,
        catalogue: Catalogue,
        *,
        backup: RoleBackup,
        actor: Actor | None,
    ) -> None:
        self._reads = reads
        self._keys = keys
        self._writes = writes
        self._catalogue = catalogue
        self._backup = backup
        self._actor = actor
        self._users = tuple(user.username for user in backup.users)
        self._grants: list[_Granted] = []

    async def run(self) -> Mutation:
        """Checks and writes it. See `RoleStore.restore`."""
        self._grants = [grant async for grant in in_turns(self._distinct_grants())]
        # Each part is written under the conditions of the actor.
        return await self._writes.repeat(None, self._attempt)

    async def _attempt(self, _none: Sequence[Compare]) -> Mutation | None:
        standing = await self._writes.standing(self._actor)
        if isinstance(standing, Outcome):
            raise Refusal(standing)
        groups = await self._reads.all_below(self._keys.groups)
        at = groups.revision
        roles = await self._names(self._keys.roles, at)
        users = await self._names(self._keys.users, at)
        # In Milvus's order.
        self._require_new_roles(roles)
        self._require_new_groups(groups_of(self._keys, groups.value))
        self._require_new_users(users, roles)
        await self._require_not_changing(at)
        leftovers = await self._leftovers(at)
        return await self._write([*self._cleaning(leftovers), *await self._writing()])

    def _require_new_roles(self, roles: Container[str]) -> None:
        for role in self._backup.roles:
            if role.name in roles:
                raise Refusal(Outcome.ROLE_EXISTS, role.name)

    def _require_new_groups(self, custom: Mapping[str, Sequence[str]]) -> None:
        backup, catalogue = self._backup, self._catalogue
        for name in (group.name for group in backup.groups):
            if catalogue.is_privilege(name) or catalogue.is_built_in_group(name):
                raise Refusal(Outcome.GROUP_NAME_TAKEN, name)
            if name in custom:
                raise Refusal(Outcome.GROUP_EXISTS, name)
        named = [name for group in backup.groups for name in group.privileges]
        stored = {grant.privilege: None for role in backup.roles for grant in role.grants}
        named += map(api_name, stored)
        known = {**custom, **{group.name: group.privileges for group in backup.groups}}
        require_privileges((name for name in named if name != ANY), known, catalogue)

    def _require_new_users(self, users: Container[str], roles: set[str]) -> None:
        known = roles | {role.name for role in self._backup.roles} | {PUBLIC}
        for user in self._backup.users:
            if user.username in users:
                raise Refusal(Outcome.USER_EXISTS, user.username)
            for name in user.roles:
                if name not in known:
                    raise Refusal(Outcome.ROLE_NOT_FOUND, name)

    async def _require_not_changing(self, revision: int) -> None:
        """Refuses grants on a collection that is being dropped or renamed."""
        prefix = self._keys.collection_changes
        found = await self._reads.all_below(prefix, revision=revision, keys_only=True)
        changing = {kv.key for kv in found.value}
        for role in self._backup.roles:
            if not changing.isdisjoint(changes_of(self._keys, role.grants)):
                raise Refusal(Outcome.COLLECTION_CHANGING)

    async def _names(self, prefix: str, revision: int) -> set[str]:
        found = await self._reads.all_below(prefix, revision=revision, keys_only=True)
        return {kv.key.decode(errors="replace").removeprefix(prefix) for kv in found.value}

    async def _leftovers(self, revision: int) -> set[bytes]:
        """Returns the prefixes of what earlier roles and users of the same names left behind."""
        keys = self._keys
        prefixes = {keys.grantees_of(role.name).encode() for role in self._backup.roles}
        prefixes |= {keys.roles_of(name).encode() for name in self._users}
        prefixes |= {keys.grants_of(grant.id).encode() for grant in self._grants}
        left = set()
        for prefix in (keys.grantees, keys.mappings, keys.grantee_ids):
            found = await self._reads.all_below(prefix, revision=revision, keys_only=True)
            async for kv in in_turns(found.value):
                name, slash, _ = kv.key.removeprefix(prefix.encode()).partition(b"/")
                left.add(prefix.encode() + name + slash)
        return left & prefixes

    async def _write(self, parts: Sequence[_Part]) -> Mutation | None:
        """Writes all parts. Returns None when another change prevented the first one.

        Raises:
            Refusal: the actor may not make the change.
            OutcomeUnknownError: it fails after some parts are written.
        """
        mutation = Mutation(Outcome.APPLIED, 0)
        written, actor = False, self._actor
        with unknown_after_a_part(lambda: written):
            for part in parts:
                for count in range(_MOST_ATTEMPTS):
                    async with self._writes.attempt(actor, again=count > 0):
                        standing = await self._writes.standing(actor)
                        if isinstance(standing, Outcome):
                            if written:
                                return self._incomplete(mutation)
                            raise Refusal(standing)
                        conditions = [*standing, *part.conditions]
                        applied = await self._writes.apply(conditions, part.operations)
                    if applied is not None:
                        break
                else:
                    return self._incomplete(mutation) if written else None
                mutation = applied
                written = True
                if actor is not None and actor.policy_revision:
                    # The grants that admitted the actor were the same at this part, which adds
                    # others.
                    actor = replace(actor, policy_revision=applied.revision)
        return Mutation(Outcome.APPLIED, mutation.revision, users=self._users)

    def _incomplete(self, mutation: Mutation) -> Mutation:
        log.warning("restore_incomplete", revision=mutation.revision)
        return Mutation(
            Outcome.INVALID,
            mutation.revision,
            detail="another change was made at the same time, so only a part of the backup "
            "is restored; drop its roles, groups and users, then try again",
            users=self._users,
        )

    def _cleaning(self, leftovers: Iterable[bytes]) -> list[_Part]:
        prefixes = sorted(leftovers)
        absent = {self._absent(self._keys.role(role.name)): None for role in self._backup.roles}
        absent |= {self._absent(self._keys.user(name)): None for name in self._users}
        # With very many roles and users the parts that follow have these conditions only.
        conditions = absent if len(absent) <= _ROOM else {}
        return [
            _Part(
                dict(conditions), [Delete(each, prefix=True) for each in prefixes[start:][:_ROOM]]
            )
            for start in range(0, len(prefixes), _ROOM)
        ]

    async def _writing(self) -> list[_Part]:
        parts = [_Part()]
        async for conditions, puts in in_turns(self._units()):
            last = parts[-1]
            together = len({**last.conditions, **dict.fromkeys(conditions)})
            if max(together, len(last.operations) + len(puts)) > _ROOM:
                last = _Part()
                parts.append(last)
            last.conditions.update(dict.fromkeys(conditions))
            last.operations += puts
        return [part for part in parts if part.operations]

    def _units(self) -> Iterator[tuple[list[Compare], list[Operation]]]:
        """Yields what must be written together, in the order of `Restore`."""
        keys, backup = self._keys, self._backup
        for group in backup.groups:
            key = keys.group(group.name)
            value = group_value(group.name, group.privileges)
            yield [self._absent(key)], [Put(key.encode(), value)]
        met: set[str] = set()
        for grant in self._grants:
            puts: list[Operation] = []
            if grant.id not in met:
                met.add(grant.id)
                puts.append(Put(keys.grantee(grant.grantee.key).encode(), grant.id.encode()))
            key = keys.grants_of(grant.id) + grant.privilege
            puts.append(Put(key.encode(), grant.grantor.encode()))
            conditions = [self._absent(keys.role(grant.grantee.role))]
            if grant.grantee.object != ANY:
                change = keys.collection_change(grant.grantee.database, grant.grantee.object)
                conditions.append(self._absent(change))
            yield conditions, puts
        for user in backup.users:
            absent = self._absent(keys.user(user.username))
            for role in sorted({*user.roles} - {PUBLIC}):
                yield [absent], [Put(keys.mapping(user.username, role).encode(), b"")]
        for restored in backup.roles:
            key = keys.role(restored.name)
            yield [self._absent(key)], [Put(key.encode(), role_value(restored.description))]
        for user in backup.users:
            if user.password is not None:
                key = keys.user(user.username)
                record = Record.new(user.password, user.description)
                yield [self._absent(key)], [Put(key.encode(), record.encode())]

    def _distinct_grants(self) -> Iterator[_Granted]:
        """Yields each grant once, with the first of its grantors."""
        met = set()
        for role in self._backup.roles:
            for grant in role.grants:
                grantee = Grantee(role.name, grant.object_type, grant.database, grant.object)
                if (grantee, grant.privilege) not in met:
                    met.add((grantee, grant.privilege))
                    yield _Granted(grantee, grantee.id, grant.privilege, grant.grantor)

    def _absent(self, key: str) -> Compare:
        return Compare.version(key.encode(), "==", 0)
