"""Stores privilege groups in etcd, in Milvus's layout."""

from collections.abc import Iterable, Mapping, Sequence

from vecguard.etcd import Compare, Delete, Get, Put
from vecguard.etcd.reads import Reads
from vecguard.milvus_layout import Keys
from vecguard.milvus_layout.role_records import group_value
from vecguard.milvus_layout.stored_roles import grantees_of, groups_of, privileges_of
from vecguard.privileges.catalogue import Catalogue, flattened
from vecguard.privileges.stored_names import stored_group
from vecguard.root_coord.store.guarded_writes import GuardedWrites, Refusal
from vecguard.root_coord.store.interface import Actor, Mutation, Outcome

# Groups that one change adds to a group: each is a condition of the transaction.
_MOST_GROUPS = 50


class GroupChanges:
    """Changes privilege groups; see `RoleStore`."""

    def __init__(
        self, reads: Reads, keys: Keys, writes: GuardedWrites, catalogue: Catalogue
    ) -> None:
        self._reads = reads
        self._keys = keys
        self._writes = writes
        self._catalogue = catalogue

    async def create(self, name: str, *, actor: Actor | None) -> Mutation:
        """Adds a group without privileges."""
        key = self._keys.group(name).encode()

        async def attempt(standing: Sequence[Compare]) -> Mutation | None:
            if self._catalogue.is_privilege(name) or self._catalogue.is_built_in_group(name):
                raise Refusal(Outcome.GROUP_NAME_TAKEN)
            if (await self._reads.at_once([Get(key)])).value[0]:
                raise Refusal(Outcome.GROUP_EXISTS)
            return await self._writes.apply(
                [*standing, Compare.version(key, "==", 0)], [Put(key, group_value(name, ()))]
            )

        return await self._writes.repeat(actor, attempt)

    async def drop(self, name: str, *, actor: Actor | None) -> Mutation:
        """Removes a group that no role has. Succeeds when there is no such group."""
        key = self._keys.group(name).encode()

        async def attempt(standing: Sequence[Compare]) -> Mutation | None:
            read = await self._reads.at_once([Get(key)])
            if not read.value[0]:
                return Mutation(Outcome.APPLIED, read.revision)
            revision, user = await self._user_of(name)
            if user is not None:
                raise Refusal(Outcome.GROUP_IN_USE, user)
            # No role was given the group since.
            unused = [
                Compare.mod_revision(prefix.encode(), "<", revision + 1, prefix=True)
                for prefix in (self._keys.grantees, self._keys.grantee_ids)
            ]
            return await self._writes.apply(
                [*standing, Compare.version(key, ">", 0), *unused], [Delete(key)]
            )

        return await self._writes.repeat(actor, attempt)

    async def _user_of(self, group: str) -> tuple[int, str | None]:
        """Returns a role that has the group, and the revision. Raises CompactedError."""
        ids = await self._reads.all_below(self._keys.grantee_ids, keys_only=True)
        ending = b"/" + stored_group(group).encode()
        granted = await privileges_of(
            self._keys, (kv for kv in ids.value if kv.key.endswith(ending))
        )
        if not granted:
            return ids.revision, None
        stored = await self._reads.all_below(self._keys.grantees, revision=ids.revision)
        users = [
            each.grantee.role
            for each in await grantees_of(self._keys, stored.value)
            if each.id in granted
        ]
        return ids.revision, min(users, default=None)

    async def change(
        self, name: str, privileges: Sequence[str], *, add: bool, actor: Actor | None
    ) -> Mutation:
        """Adds privileges to a group, or removes them."""

        async def attempt(standing: Sequence[Compare]) -> Mutation | None:
            return await self._change(name, privileges, standing, add=add)

        return await self._writes.repeat(actor, attempt)

    async def _change(
        self, name: str, privileges: Sequence[str], standing: Sequence[Compare], *, add: bool
    ) -> Mutation | None:
        prefix, key = self._keys.groups.encode(), self._keys.group(name).encode()
        read = await self._reads.at_once([Get(prefix, prefix=True)])
        stored = next((kv for kv in read.value[0] if kv.key == key), None)
        if stored is None:
            raise Refusal(Outcome.GROUP_NOT_FOUND)
        if not privileges:  # the text is Milvus's
            raise Refusal(Outcome.INVALID, "privileges is empty when alter the privilege group")
        custom = groups_of(self._keys, read.value[0])
        # A group whose value cannot be read has no members; a change mends it.
        members = custom.setdefault(name, ())
        named: list[str] = []
        if add:
            require_privileges(privileges, custom, self._catalogue)
            changed = tuple(dict.fromkeys([*members, *privileges]))
            named = sorted(custom.keys() & set(privileges) - {name})
            if self._mixes_levels(name, changed, custom):
                raise Refusal(Outcome.LEVELS_DIFFER)
        else:
            # A member may be removed although its own group is gone.
            others = [each for each in privileges if each not in members]
            require_privileges(others, custom, self._catalogue)
            changed = tuple(each for each in members if each not in privileges)
        if changed == members:
            return Mutation(Outcome.APPLIED, read.revision)
        if len(named) > _MOST_GROUPS:
            raise Refusal(Outcome.INVALID, f"more than {_MOST_GROUPS} groups in one change")
        return await self._writes.apply(
            [
                *standing,
                Compare.mod_revision(key, "==", stored.mod_revision),
                # The groups that it names are there, and have the levels that they had.
                Compare.mod_revision(prefix, "<", read.revision + 1, prefix=True),
                *(Compare.version(self._keys.group(each).encode(), ">", 0) for each in named),
            ],
            [Put(key, group_value(name, changed))],
        )

    def _mixes_levels(
        self, name: str, changed: Sequence[str], custom: Mapping[str, Sequence[str]]
    ) -> bool:
        """Returns whether a change leaves the group, or a group that contains it, with two levels.

        Milvus looks at the group alone. So privileges of the cluster would come into a group of
        collections by an empty group that it contains. What had two levels before may keep them.
        """
        after = {**custom, name: changed}
        return not self._have_one_level(changed, after) or any(
            self._have_one_level(custom[group], custom)
            and not self._have_one_level(after[group], after)
            for group in custom
        )

    def _have_one_level(self, members: Sequence[str], custom: Mapping[str, Sequence[str]]) -> bool:
        single = flattened(members, custom, self._catalogue)
        return len({self._catalogue.level_of(privilege) for privilege in single}) <= 1


def require_privileges(
    names: Iterable[str], custom: Mapping[str, Sequence[str]], catalogue: Catalogue
) -> None:
    """Refuses API names that are no privilege and no group."""
    for name in names:
        if not (
            name in custom or catalogue.is_privilege(name) or catalogue.is_built_in_group(name)
        ):
            raise Refusal(Outcome.PRIVILEGE_NOT_FOUND, name)
