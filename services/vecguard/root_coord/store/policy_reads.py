"""Reads roles with their grants and groups, at one revision."""

from collections.abc import Container, Mapping, Sequence

from vecguard.etcd import EtcdClient, Get, KeyValue
from vecguard.etcd.reads import Reads, Snapshot, until_whole
from vecguard.milvus_layout import Keys
from vecguard.milvus_layout.collection_changes import suspended
from vecguard.milvus_layout.role_records import Grantee
from vecguard.milvus_layout.stored_roles import (
    Grant,
    StoredRole,
    grantees_of,
    grants_below,
    groups_of,
    roles_of,
)
from vecguard.privileges.catalogue import COLLECTION, GLOBAL, Catalogue, flattened
from vecguard.privileges.stored_names import api_name
from vecguard.root_coord.store.role_interface import PrivilegeGroup, RolesAndGroups


class PolicyReads:
    """Reads what proxies decide by; see `RoleStore.get_roles`."""

    def __init__(self, client: EtcdClient, keys: Keys, catalogue: Catalogue) -> None:
        self._keys = keys
        self._catalogue = catalogue
        self._reads = Reads(client)

    async def get_roles(
        self, names: Sequence[str], *, revision: int = 0
    ) -> Snapshot[RolesAndGroups]:
        wanted = sorted(set(names))
        gets = [
            Get(self._keys.groups.encode(), prefix=True),
            Get(self._keys.collection_changes.encode(), prefix=True),
            *(Get(self._keys.role(name).encode()) for name in wanted),
        ]

        async def read() -> Snapshot[RolesAndGroups]:
            found = await self._reads.at_once(gets, revision=revision)
            groups, changes, *rest = found.value
            changing = suspended(self._keys, changes)
            roles = roles_of(self._keys, (kv for kvs in rest for kv in kvs))
            prefixes = [self._keys.grantees_of(role.name) for role in roles]
            stored = await self._reads.below_each(prefixes, revision=found.revision)
            grantees = [
                each
                for each in await grantees_of(self._keys, (kv for kvs in stored for kv in kvs))
                if not _is_suspended(each.grantee, changing)
            ]
            grants = await grants_below(self._reads, self._keys, grantees, found.revision)
            return Snapshot(found.revision, self._joined(roles, grants, groups))

        return await (read() if revision else until_whole(read))

    def _joined(
        self,
        roles: Sequence[StoredRole],
        grants: Mapping[str, tuple[Grant, ...]],
        groups: Sequence[KeyValue],
    ) -> RolesAndGroups:
        custom = groups_of(self._keys, groups)
        stored = {grant.privilege for each in grants.values() for grant in each}
        named = set(map(api_name, stored))
        return RolesAndGroups(
            tuple(
                StoredRole(role.name, role.description, grants.get(role.name, ())) for role in roles
            ),
            tuple(
                PrivilegeGroup(name, flattened([name], custom, self._catalogue))
                for name in sorted(named)
                if name in custom or self._catalogue.is_built_in_group(name)
            ),
        )


def _is_suspended(grantee: Grantee, changing: Container[tuple[str, str]]) -> bool:
    """Returns whether a grant is on a collection that is being dropped or renamed."""
    return (
        grantee.object_type in (COLLECTION, GLOBAL)
        and (grantee.database, grantee.object) in changing
    )
