"""Stores roles, the users who have them, and their grants in etcd, in Milvus's layout."""

from collections.abc import Mapping, Sequence

from vecguard.etcd import EtcdClient
from vecguard.etcd.reads import Reads, Snapshot, until_whole
from vecguard.milvus_layout import Keys
from vecguard.milvus_layout.stored_roles import (
    Grant,
    StoredRole,
    groups_of,
    roles_by_user,
    roles_of,
    users_by_role,
)
from vecguard.privileges.catalogue import Catalogue
from vecguard.root_coord.store.grant_changes import GrantChanges
from vecguard.root_coord.store.group_changes import GroupChanges
from vecguard.root_coord.store.guarded_writes import GuardedWrites
from vecguard.root_coord.store.interface import Actor, Mutation
from vecguard.root_coord.store.policy_reads import PolicyReads
from vecguard.root_coord.store.restore import Restore, back_up
from vecguard.root_coord.store.role_changes import RoleChanges
from vecguard.root_coord.store.role_interface import PrivilegeGroup, RoleBackup


class EtcdRoleStore:
    """Implements `RoleStore`; every change is one guarded transaction, except very large ones."""

    def __init__(
        self, client: EtcdClient, keys: Keys, writes: GuardedWrites, catalogue: Catalogue
    ) -> None:
        """Creates a store below `keys`. `writes` makes its changes."""
        self._client = client
        self._keys = keys
        self._writes = writes
        self._catalogue = catalogue
        self._reads = Reads(client)
        self.get_roles = PolicyReads(client, keys, catalogue).get_roles
        groups = GroupChanges(self._reads, keys, writes, catalogue)
        self.create_group, self.drop_group = groups.create, groups.drop
        self.change_group = groups.change
        self._grants = GrantChanges(self._reads, keys, writes, catalogue)
        self.change_grants = self._grants.change
        changes = RoleChanges(self._reads, keys, writes)
        self.create_role, self.alter_role = changes.create, changes.alter
        self.drop_role = changes.drop
        self.give_role, self.take_role = changes.give, changes.take

    async def revision(self) -> int:
        return (await self._client.range(self._keys.roles.encode(), count_only=True)).revision

    async def list_roles(self) -> Snapshot[tuple[StoredRole, ...]]:
        async def read() -> Snapshot[tuple[StoredRole, ...]]:
            roles = await self._reads.all_below(self._keys.roles)
            mappings = await self._reads.all_below(
                self._keys.mappings, revision=roles.revision, keys_only=True
            )
            users = users_by_role(roles_by_user(self._keys, mappings.value))
            return Snapshot(
                roles.revision,
                tuple(
                    StoredRole(role.name, role.description, users=users.get(role.name, ()))
                    for role in roles_of(self._keys, roles.value)
                ),
            )

        return await until_whole(read)

    async def list_groups(self) -> Snapshot[tuple[PrivilegeGroup, ...]]:
        stored = await until_whole(lambda: self._reads.all_below(self._keys.groups))
        groups = {**groups_of(self._keys, stored.value), **self._catalogue.groups}
        return Snapshot(
            stored.revision,
            tuple(PrivilegeGroup(name, tuple(members)) for name, members in groups.items()),
        )

    async def back_up(self) -> Snapshot[RoleBackup]:
        return await until_whole(lambda: back_up(self._reads, self._keys))

    async def restore(self, backup: RoleBackup, *, actor: Actor | None) -> Mutation:
        return await Restore(
            self._reads, self._keys, self._writes, self._catalogue, backup=backup, actor=actor
        ).run()

    async def ensure_roles(self, roles: Mapping[str, Sequence[Grant]]) -> None:
        for name, grants in roles.items():
            await self.create_role(name, "", role_limit=None, actor=None)
            await self._grants.ensure(name, grants)
