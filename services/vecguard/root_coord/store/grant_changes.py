"""Gives and revokes grants in etcd, in Milvus's layout."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain

from vecguard.etcd import Compare, Get, KeyValue
from vecguard.etcd.reads import MOST_OPERATIONS, Reads
from vecguard.milvus_layout import Keys
from vecguard.milvus_layout.role_records import Grantee
from vecguard.milvus_layout.stored_roles import (
    Grant,
    groups_of,
    privileges_below,
    privileges_of,
)
from vecguard.privileges.catalogue import Catalogue
from vecguard.privileges.stored_names import ANY, api_name
from vecguard.root_coord.store.grantee_state import (
    GranteeState,
    Transaction,
    add_change,
    ids_of,
)
from vecguard.root_coord.store.group_changes import require_privileges
from vecguard.root_coord.store.guarded_writes import GuardedWrites, Refusal
from vecguard.root_coord.store.interface import Actor, Mutation, Outcome

# Of one change: each takes up to four reads and some operations.
_MOST_GRANTS = 25
# Keys that are read of all grants of a change, with everything else that the change depends on.
_MOST_PRIVILEGES = 500


class GrantChanges:
    """Changes grants; see `RoleStore`."""

    def __init__(
        self, reads: Reads, keys: Keys, writes: GuardedWrites, catalogue: Catalogue
    ) -> None:
        self._reads = reads
        self._keys = keys
        self._writes = writes
        self._catalogue = catalogue

    async def change(
        self, role: str, grants: Sequence[Grant], *, give: bool, actor: Actor | None
    ) -> Mutation:
        """Gives or revokes grants of a role, all or none."""
        if len(grants) > _MOST_GRANTS:
            return Mutation(
                Outcome.INVALID, detail=f"more than {_MOST_GRANTS} grants in one change"
            )
        grantors = sorted({grant.grantor for grant in grants})
        attempt = partial(
            self._attempt, role, grants, give=give, grantors=grantors, refuse_changing=give
        )
        return await self._writes.repeat(actor, attempt)

    async def ensure(self, role: str, grants: Sequence[Grant]) -> None:
        """Gives the grants that are missing; their grantors need not exist.

        Grants on a collection that is being dropped are given, too, and removed with the others:
        they come from the configuration, and come back at the next start.
        """
        for start in range(0, len(grants), _MOST_GRANTS):
            part = grants[start:][:_MOST_GRANTS]
            attempt = partial(
                self._attempt, role, part, give=True, grantors=(), refuse_changing=False
            )
            await self._writes.repeat(None, attempt)

    async def _attempt(
        self,
        role: str,
        grants: Sequence[Grant],
        standing: Sequence[Compare],
        *,
        give: bool,
        grantors: Sequence[str],
        refuse_changing: bool,
    ) -> Mutation | None:
        """`refuse_changing`: if a collection of the grants is being dropped or renamed."""
        must_exist = [
            self._keys.role(role).encode(),
            *(self._keys.user(grantor).encode() for grantor in grantors),
        ]
        wanted = _by_grantee(role, grants)
        keys = [key for grantee in wanted for key in grantee.keys]
        changing = changes_of(self._keys, grants) if refuse_changing else []
        own_ids = [grantee.id for grantee in wanted]
        limit = _MOST_PRIVILEGES // len(own_ids)
        read = await self._reads.at_once(
            [
                Get(self._keys.groups.encode(), prefix=True),
                *(Get(key, keys_only=True) for key in must_exist),
                *(Get(self._keys.grantee(key).encode()) for key in keys),
                *(Get(key, keys_only=True) for key in changing),
                *(
                    Get(self._keys.grants_of(each).encode(), prefix=True, limit=limit)
                    for each in own_ids
                ),
            ]
        )
        groups, roles = read.value[:2]
        users = read.value[2:][: len(grantors)]
        _require_role_and_grantors(roles, dict(zip(grantors, users, strict=True)))
        if give:
            must_exist += self._custom_groups(grants, groups)
        rest = read.value[2 + len(grantors) :]
        if any(rest[len(keys) :][: len(changing)]):
            raise Refusal(Outcome.COLLECTION_CHANGING)
        below = rest[len(keys) + len(changing) :]
        stored = {key: kvs[0] for key, kvs in zip(keys, rest[: len(keys)], strict=True) if kvs}
        privileges = await privileges_of(self._keys, chain.from_iterable(below))
        # Another read for other ids, which an older Milvus gave, and for what was over the limit.
        unread = ids_of(stored.values()).difference(own_ids)
        unread.update(each for each, kvs in zip(own_ids, below, strict=True) if len(kvs) == limit)
        if unread:
            privileges |= await privileges_below(self._reads, self._keys, unread, read.revision)
        transaction = Transaction(
            [
                *standing,
                *(Compare.version(key, ">", 0) for key in must_exist),
                *(Compare.version(key, "==", 0) for key in changing),
            ]
        )
        older: set[str] = set()
        for grantee, changed in wanted.items():
            state = GranteeState(
                grantee,
                {key: stored[key] for key in grantee.keys if key in stored},
                privileges,
                read.revision,
            )
            if add_change(transaction, self._keys, state, changed, give=give):
                older.update(state.older_ids)
        if not transaction.operations:
            return Mutation(Outcome.APPLIED, read.revision)
        if older:
            await self._require_unshared(older, stored, read.revision)
            # No key has begun to share an id since.
            grantees = self._keys.grantees.encode()
            transaction.conditions.append(
                Compare.mod_revision(grantees, "<", read.revision + 1, prefix=True)
            )
        if max(len(transaction.conditions), len(transaction.operations)) > MOST_OPERATIONS:
            raise Refusal(Outcome.INVALID, "too many grants of one role in one change")
        return await self._writes.apply(transaction.conditions, transaction.operations)

    def _custom_groups(self, grants: Iterable[Grant], groups: Iterable[KeyValue]) -> list[bytes]:
        """Returns the keys of the custom groups among the privileges; each of those must exist."""
        custom = groups_of(self._keys, groups)
        names = {api_name(grant.privilege) for grant in grants} - {ANY}
        require_privileges(sorted(names), custom, self._catalogue)
        return [self._keys.group(name).encode() for name in sorted(names & custom.keys())]

    async def _require_unshared(
        self, ids: set[str], stored: Mapping[str, KeyValue], revision: int
    ) -> None:
        """Refuses a change when another grantee has one of these ids, too."""
        own = {kv.key for kv in stored.values()}
        all_grantees = await self._reads.all_below(self._keys.grantees, revision=revision)
        for kv in all_grantees.value:
            if kv.key not in own and (shared := ids_of([kv]) & ids):
                other = kv.key.decode(errors="replace").removeprefix(self._keys.grantees)
                raise Refusal(
                    Outcome.INVALID, f"shared legacy grantee id {shared.pop()}, also of {other}"
                )


def _require_role_and_grantors(
    roles: Sequence[KeyValue], users: Mapping[str, Sequence[KeyValue]]
) -> None:
    if not roles:
        raise Refusal(Outcome.ROLE_NOT_FOUND)
    for grantor, found in users.items():
        if not found:
            raise Refusal(Outcome.GRANTOR_NOT_FOUND, grantor)


def _by_grantee(role: str, grants: Iterable[Grant]) -> dict[Grantee, dict[str, str]]:
    """Returns grantee -> privilege as stored -> the grantor's name."""
    found: dict[Grantee, dict[str, str]] = {}
    for grant in grants:
        grantee = Grantee(role, grant.object_type, grant.database, grant.object)
        found.setdefault(grantee, {})[grant.privilege] = grant.grantor
    return found


def changes_of(keys: Keys, grants: Iterable[Grant]) -> list[bytes]:
    """Returns the keys that exist while a collection of these grants is dropped or renamed."""
    names = {(each.database, each.object) for each in grants if each.object != ANY}
    return [keys.collection_change(*name).encode() for name in sorted(names)]
