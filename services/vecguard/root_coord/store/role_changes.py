"""Creates and drops roles, and binds them to users, in etcd and in Milvus's layout."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from vecguard.etcd import Compare, Delete, Get, Put
from vecguard.etcd.reads import MOST_OPERATIONS, Reads
from vecguard.milvus_layout import Keys
from vecguard.milvus_layout.role_records import role_value
from vecguard.milvus_layout.stored_roles import grantees_of, grants_below
from vecguard.root_coord.store.grantee_state import Transaction, ids_of
from vecguard.root_coord.store.guarded_writes import GuardedWrites, Refusal, unknown_after_a_part
from vecguard.root_coord.store.interface import Actor, Mutation, Outcome

# Of one transaction, in addition to its other operations.
_MOST_MAPPINGS = 80


@dataclass(slots=True)
class _Taken:
    """The users from whom a change takes a role.

    Attributes:
        users: their names.
        revision: of the last transaction that took it from some of them before the change itself.
    """

    users: dict[str, None] = field(default_factory=dict)
    revision: int = 0


class RoleChanges:
    """Changes roles and who has them; see `RoleStore`."""

    def __init__(self, reads: Reads, keys: Keys, writes: GuardedWrites) -> None:
        self._reads = reads
        self._keys = keys
        self._writes = writes

    async def create(
        self, name: str, description: str, *, role_limit: int | None, actor: Actor | None
    ) -> Mutation:
        """Adds a role. Removes what is left from an earlier role of that name."""
        key, prefix = self._keys.role(name).encode(), self._keys.roles.encode()
        taken = _Taken()

        async def attempt(standing: Sequence[Compare]) -> Mutation | None:
            read = await self._reads.at_once([Get(prefix, prefix=True, keys_only=True)])
            (roles,) = read.value
            if any(kv.key == key for kv in roles):
                raise Refusal(Outcome.ROLE_EXISTS)
            if role_limit is not None and len(roles) >= role_limit:
                raise Refusal(Outcome.ROLE_LIMIT_REACHED)
            absent = [*standing, Compare.version(key, "==", 0)]
            left = await self._take_from_all(name, absent, taken)
            if left is None:
                return None
            return await self._writes.apply(
                [
                    *absent,
                    *left.conditions,
                    # No role was created since they were counted, so the limit holds.
                    Compare.create_revision(prefix, "<", read.revision + 1, prefix=True),
                ],
                [
                    Delete(self._keys.grantees_of(name).encode(), prefix=True),
                    *left.operations,
                    Put(key, role_value(description)),
                ],
            )

        return await self._repeat(actor, attempt, taken)

    async def alter(self, name: str, description: str, *, actor: Actor | None) -> Mutation:
        """Replaces the description."""
        key = self._keys.role(name).encode()

        async def attempt(standing: Sequence[Compare]) -> Mutation | None:
            if not (await self._reads.at_once([Get(key, keys_only=True)])).value[0]:
                raise Refusal(Outcome.ROLE_NOT_FOUND)
            return await self._writes.apply(
                [*standing, Compare.version(key, ">", 0)], [Put(key, role_value(description))]
            )

        return await self._writes.repeat(actor, attempt)

    async def drop(self, name: str, *, force: bool, actor: Actor | None) -> Mutation:
        """Removes a role, its grants if forced, and takes it from its users."""
        taken = _Taken()

        async def attempt(standing: Sequence[Compare]) -> Mutation | None:
            return await self._drop(name, standing, taken, force=force)

        return await self._repeat(actor, attempt, taken)

    async def _repeat(
        self,
        actor: Actor | None,
        attempt: Callable[[Sequence[Compare]], Awaitable[Mutation | None]],
        taken: _Taken,
    ) -> Mutation:
        """Repeats a change. If it is refused, the reply names the users who lost the role before.

        With a revision, because proxies must forget what these had.

        Raises OutcomeUnknownError if it fails after some have lost the role.
        """
        with unknown_after_a_part(lambda: taken.revision > 0):
            mutation = await self._writes.repeat(actor, attempt)
        if mutation.applied or taken.revision:
            revision = mutation.revision or taken.revision
            return replace(mutation, revision=revision, users=tuple(taken.users))
        return mutation

    async def _drop(
        self, name: str, standing: Sequence[Compare], taken: _Taken, *, force: bool
    ) -> Mutation | None:
        key = self._keys.role(name).encode()
        prefix = self._keys.grantees_of(name).encode()
        read = await self._reads.at_once([Get(key)])
        if not read.value[0]:
            raise Refusal(Outcome.ROLE_NOT_FOUND)
        (own,) = await self._reads.below_each(
            [self._keys.grantees_of(name)], revision=read.revision
        )
        grantees = await grantees_of(self._keys, own)
        if not force:
            # Grantees without privileges are what a revocation by Milvus leaves.
            grants = await grants_below(self._reads, self._keys, grantees, read.revision)
            for grant in grants.get(name, ())[:1]:
                where = f"{grant.object_type} {grant.database}.{grant.object}"
                raise Refusal(Outcome.ROLE_HAS_GRANTS, f"{grant.privilege} on {where}")
        ids = ids_of(own)
        if ids - {each.grantee.id for each in grantees}:
            # An id that another role's key has, too, stays for that role.
            stored = await self._reads.all_below(self._keys.grantees, revision=read.revision)
            ids -= ids_of(kv for kv in stored.value if not kv.key.startswith(prefix))
        stands = [*standing, Compare.version(key, ">", 0)]
        left = await self._take_from_all(name, stands, taken)
        if left is None:
            return None
        gone = [Delete(self._keys.grants_of(each).encode(), prefix=True) for each in sorted(ids)]
        room = MOST_OPERATIONS - len(left.operations) - 2
        # If privileges were given or revoked since, below the ids, they go with the ids.
        unchanged = Compare.mod_revision(prefix, "<", read.revision + 1, prefix=True)
        granted = [
            Compare.mod_revision(each.key, "<", read.revision + 1, prefix=True)
            for each in gone[: room - len(stands) - 2]
        ]
        mutation = await self._writes.apply(
            [*stands, *left.conditions, unchanged, *([] if force else granted)],
            [Delete(key), Delete(prefix, prefix=True), *left.operations, *gone[:room]],
        )
        if mutation is None:
            return None
        # The role is dropped, and proxies must be notified if this fails.
        with unknown_after_a_part(lambda: True):
            # Without a key that refers to it, what is below an id has no effect.
            for start in range(room, len(gone), MOST_OPERATIONS):
                await self._writes.apply([], gone[start:][:MOST_OPERATIONS])
        return mutation

    async def _take_from_all(
        self, role: str, conditions: Sequence[Compare], taken: _Taken
    ) -> Transaction | None:
        """Returns a transaction that takes a role from its users, whose names it adds to `taken`.

        If there are very many users, it takes the role from most of them before, in transactions
        with these conditions. Returns None when a condition does not hold.
        """
        prefix = self._keys.mappings.encode()
        read = await self._reads.all_below(self._keys.mappings, keys_only=True)
        found = []
        for kv in read.value:
            user, _, of_user = kv.key.removeprefix(prefix).partition(b"/")
            if of_user == role.encode():
                found.append(kv)
                taken.users[user.decode(errors="replace")] = None
        # The actor's own last: it is a condition of the others.
        needed = {condition.key for condition in conditions}
        found.sort(key=lambda kv: kv.key in needed)
        while len(found) > _MOST_MAPPINGS:
            some, found = found[:_MOST_MAPPINGS], found[_MOST_MAPPINGS:]
            applied = await self._writes.apply(conditions, [Delete(kv.key) for kv in some])
            if applied is None:
                return None
            taken.revision = applied.revision
        return Transaction(
            [Compare.mod_revision(prefix, "<", read.revision + 1, prefix=True)],
            [Delete(kv.key) for kv in found],
        )

    async def give(self, username: str, role: str, *, actor: Actor | None) -> Mutation:
        """Gives a role to a user."""
        user_key = self._keys.user(username).encode()
        role_key = self._keys.role(role).encode()
        key = self._keys.mapping(username, role).encode()

        async def attempt(standing: Sequence[Compare]) -> Mutation | None:
            read = await self._reads.at_once([Get(role_key), Get(user_key), Get(key)])
            roles, users, mapping = read.value
            if not roles:
                raise Refusal(Outcome.ROLE_NOT_FOUND)
            if not users:
                raise Refusal(Outcome.USER_NOT_FOUND)
            if mapping:
                return Mutation(Outcome.APPLIED, read.revision)
            return await self._writes.apply(
                [
                    *standing,
                    Compare.version(role_key, ">", 0),
                    Compare.version(user_key, ">", 0),
                    Compare.version(key, "==", 0),
                ],
                [Put(key, b"")],
            )

        return await self._writes.repeat(actor, attempt)

    async def take(self, username: str, role: str, *, actor: Actor | None) -> Mutation:
        """Takes a role from a user, who need not exist."""
        role_key = self._keys.role(role).encode()
        key = self._keys.mapping(username, role).encode()

        async def attempt(standing: Sequence[Compare]) -> Mutation | None:
            read = await self._reads.at_once([Get(role_key), Get(key)])
            roles, mapping = read.value
            if not roles:
                raise Refusal(Outcome.ROLE_NOT_FOUND)
            if not mapping:
                return Mutation(Outcome.APPLIED, read.revision)
            return await self._writes.apply(
                [*standing, Compare.version(key, ">", 0)], [Delete(key)]
            )

        return await self._writes.repeat(actor, attempt)
