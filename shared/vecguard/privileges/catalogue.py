"""Lists the privileges and privilege groups that Milvus 3.0 has built in.

Milvus before 2.5 gave groups `ReadOnly`, `ReadWrite`, `Admin` and `All`, which its API treats as
privileges ("v1"); 2.3.5 has only `All`. Milvus 2.5 added nine groups in three levels, and groups
that users define ("v2"). Names are those of Milvus's API; `stored_names.py` has the stored ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from vecguard.config.security import RbacSettings
from vecguard.errors import ConfigurationError
from vecguard.privileges.stored_names import api_name

#: The role that may do everything, and the role that every user has.
ADMIN: Final = "admin"
PUBLIC: Final = "public"

COLLECTION: Final = "Collection"
GLOBAL: Final = "Global"
USER: Final = "User"
OBJECT_TYPES: Final = frozenset({COLLECTION, GLOBAL, USER})

#: Object type and privilege of the grants that Milvus gives to the role public. They are for
#: every object of every database, and their grantor is root.
PUBLIC_GRANTS: Final = (
    (GLOBAL, "DescribeCollection"),
    (GLOBAL, "ListAliases"),
    (COLLECTION, "IndexDetail"),
)

#: A grant or a revocation of a privilege is one of these, too.
RELATED_PRIVILEGES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"Load": ("GetLoadState", "GetLoadingProgress"), "Flush": ("GetFlushState",)}
)


class Level(Enum):
    """What a privilege of Milvus 2.5 and later is about."""

    CLUSTER = auto()
    DATABASE = auto()
    COLLECTION = auto()


_COLLECTION_READ_ONLY = (
    *("Query", "Search", "IndexDetail", "GetFlushState", "GetLoadState", "GetLoadingProgress"),
    *("HasPartition", "ShowPartitions", "DescribeCollection", "DescribeAlias", "GetStatistics"),
    *("ListAliases", "GetImportProgress", "ListImport", "DescribeSnapshot", "ListSnapshots"),
)
_COLLECTION_READ_WRITE = (
    *_COLLECTION_READ_ONLY,
    *("Load", "Release", "Insert", "Delete", "Upsert", "Import", "Flush", "Compaction"),
    *("LoadBalance", "CreateIndex", "DropIndex", "CreatePartition", "DropPartition"),
    *("AddCollectionField", "AlterCollectionSchema", "RefreshExternalCollection"),
    *("CreateSnapshot", "DropSnapshot"),
)
_COLLECTION_ADMIN = (
    *_COLLECTION_READ_WRITE,
    *("CreateAlias", "DropAlias", "RestoreSnapshot", "ViewRLS", "SkipRLS", "ManageRLS"),
)
_DATABASE_READ_ONLY = ("ShowCollections", "DescribeDatabase")
_DATABASE_READ_WRITE = (*_DATABASE_READ_ONLY, "AlterDatabase")
_DATABASE_ADMIN = (*_DATABASE_READ_WRITE, "CreateCollection", "DropCollection", "RenameCollection")
_CLUSTER_READ_ONLY = (
    *("ListDatabases", "SelectOwnership", "SelectUser", "DescribeResourceGroup"),
    *("ListResourceGroups", "ListPrivilegeGroups", "GetReplicateConfiguration"),
    "ListFileResources",
)
_CLUSTER_READ_WRITE = (
    *_CLUSTER_READ_ONLY,
    *("FlushAll", "TransferNode", "TransferReplica", "UpdateResourceGroups", "AddFileResource"),
    *("RemoveFileResource", "PinSnapshotData", "UnpinSnapshotData"),
)
_CLUSTER_ADMIN = (
    *_CLUSTER_READ_WRITE,
    *("BackupRBAC", "RestoreRBAC", "CreateDatabase", "DropDatabase", "CreateOwnership"),
    *("DropOwnership", "ManageOwnership", "CreateResourceGroup", "DropResourceGroup"),
    *("UpdateUser", "CreatePrivilegeGroup", "DropPrivilegeGroup", "OperatePrivilegeGroup"),
    # Expr exists so that old grants of it can be revoked.
    *("UpdateReplicateConfiguration", "Expr", "RestoreExternalSnapshot", "ExportSnapshot"),
    "ImportBinlog",
)

_BUILT_IN: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "ClusterReadOnly": _CLUSTER_READ_ONLY,
        "ClusterReadWrite": _CLUSTER_READ_WRITE,
        "ClusterAdmin": _CLUSTER_ADMIN,
        "DatabaseReadOnly": _DATABASE_READ_ONLY,
        "DatabaseReadWrite": _DATABASE_READ_WRITE,
        "DatabaseAdmin": _DATABASE_ADMIN,
        "CollectionReadOnly": _COLLECTION_READ_ONLY,
        "CollectionReadWrite": _COLLECTION_READ_WRITE,
        "CollectionAdmin": _COLLECTION_ADMIN,
    }
)

_V1_READ_ONLY = (
    *("Query", "Search", "IndexDetail", "GetFlushState", "GetLoadState", "GetLoadingProgress"),
    *("HasPartition", "ShowPartitions", "ShowCollections", "ListAliases", "ListDatabases"),
    *("DescribeCollection", "DescribeDatabase", "DescribeAlias", "GetStatistics"),
    *("DescribeSnapshot", "ListSnapshots"),
)
_V1_READ_WRITE = (
    *_V1_READ_ONLY,
    *("CreateIndex", "DropIndex", "CreatePartition", "DropPartition", "Load", "Release"),
    *("Insert", "Delete", "Upsert", "Import", "Flush", "Compaction", "LoadBalance"),
    *("CreateAlias", "DropAlias", "CreateSnapshot", "DropSnapshot", "RefreshExternalCollection"),
)
_V1_ADMIN = (
    *_V1_READ_WRITE,
    *("CreateCollection", "DropCollection", "RenameCollection", "CreateOwnership"),
    *("DropOwnership", "SelectOwnership", "ManageOwnership", "SelectUser", "UpdateUser"),
    *("BackupRBAC", "RestoreRBAC", "CreateResourceGroup", "DropResourceGroup"),
    *("DescribeResourceGroup", "ListResourceGroups", "UpdateResourceGroups"),
    *("TransferReplica", "TransferNode", "CreateDatabase", "DropDatabase", "AlterDatabase"),
    *("ViewRLS", "SkipRLS", "ManageRLS", "RestoreSnapshot", "RestoreExternalSnapshot"),
    *("ExportSnapshot", "PinSnapshotData", "UnpinSnapshotData"),
    *("UpdateReplicateConfiguration", "GetReplicateConfiguration", "ImportBinlog"),
)
#: Every privilege, as a v1 group. It has no list of members.
V1_ALL: Final = "All"
#: The other v1 groups with their members.
V1_GROUPS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"ReadOnly": _V1_READ_ONLY, "ReadWrite": _V1_READ_WRITE, "Admin": _V1_ADMIN}
)

_LEVELS: Final[Mapping[str, Level]] = MappingProxyType(
    dict.fromkeys(_COLLECTION_ADMIN, Level.COLLECTION)
    | dict.fromkeys(_DATABASE_ADMIN, Level.DATABASE)
    | dict.fromkeys(_CLUSTER_ADMIN, Level.CLUSTER)
)
_GROUP_LEVELS: Final[Mapping[str, Level]] = MappingProxyType(
    {group: Level[group.partition("Read")[0].removesuffix("Admin").upper()] for group in _BUILT_IN}
)

#: Every single privilege: each has one level.
PRIVILEGES: Final = frozenset(_LEVELS)

_OF_COLLECTION = frozenset(
    {
        *("Load", "Release", "Compaction", "Insert", "Delete", "Upsert", "GetStatistics"),
        *("CreateIndex", "IndexDetail", "DropIndex", "Search", "Flush", "Query", "LoadBalance"),
        *("Import", "GetLoadingProgress", "GetLoadState", "CreatePartition", "DropPartition"),
        *("ShowPartitions", "HasPartition", "GetFlushState", "ReadOnly", "ReadWrite"),
        *("GetImportProgress", "ListImport", "AddCollectionField", "AlterCollectionSchema"),
        *("RefreshExternalCollection", "CreateSnapshot", "DropSnapshot", "DescribeSnapshot"),
        *("ListSnapshots", "RestoreSnapshot", "ViewRLS", "SkipRLS", "ManageRLS"),
    }
)
_OF_USER = frozenset({"UpdateUser", "SelectUser"})

#: Object type -> the names that a v1 grant of this type may have. Only a v2 grant may have a v2
#: group; Milvus refuses those in v1 grants before it looks here.
V1_GRANTABLE: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        COLLECTION: _OF_COLLECTION,
        GLOBAL: (PRIVILEGES | {V1_ALL, *V1_GROUPS, *_BUILT_IN}) - _OF_COLLECTION - _OF_USER,
        USER: _OF_USER,
    }
)


def object_type_of(name: str) -> str:
    """Returns the type of the objects that a privilege is for; "Global" for unknown names."""
    if name in _OF_COLLECTION:
        return COLLECTION
    return USER if name in _OF_USER else GLOBAL


class Catalogue:
    """The privileges and built-in groups as one installation has them. Immutable.

    Attributes:
        groups: the nine v2 groups with their members, in Milvus's order.
    """

    __slots__ = ("groups",)

    groups: Mapping[str, tuple[str, ...]]

    def __init__(self, overrides: Mapping[str, Sequence[str]] | None = None) -> None:
        """Takes other members for some groups, by API name or as stored.

        Raises:
            ConfigurationError: an override names no built-in group, or no single privilege.
        """
        groups = dict(_BUILT_IN)
        for group, members in (overrides or {}).items():
            if group not in groups:
                raise ConfigurationError(f"{group} is not a built-in privilege group")
            # Milvus's own configuration writes them as stored.
            names = tuple(dict.fromkeys(map(api_name, members)))
            for name in names:
                if name not in PRIVILEGES:
                    raise ConfigurationError(
                        f"the group {group} cannot have the privilege {name!r}; "
                        "use Milvus's names, such as Search"
                    )
            groups[group] = names
        self.groups = MappingProxyType(groups)

    @classmethod
    def of(cls, rbac: RbacSettings) -> "Catalogue":
        """Returns the catalogue by `common.security.rbac`. Raises ConfigurationError."""
        lists = {
            f"{level}{kind}": members.privileges
            for level, settings in (
                ("Cluster", rbac.cluster),
                ("Database", rbac.database),
                ("Collection", rbac.collection),
            )
            for kind, members in (
                ("ReadOnly", settings.readonly),
                ("ReadWrite", settings.readwrite),
                ("Admin", settings.admin),
            )
        }
        return cls({group: members for group, members in lists.items() if members})

    def is_privilege(self, name: str) -> bool:
        """Returns whether this is a single privilege or a v1 group."""
        return name in PRIVILEGES or name in V1_GROUPS or name == V1_ALL

    def is_built_in_group(self, name: str) -> bool:
        """Returns whether this is a built-in v2 group."""
        return name in self.groups

    def level_of(self, name: str) -> Level | None:
        """Returns the level of a privilege or a built-in group; None for every other name.

        Overrides change no level. Milvus gives none to v1 groups.
        """
        return _LEVELS.get(name) or _GROUP_LEVELS.get(name)


def flattened(
    names: Sequence[str], custom: Mapping[str, Sequence[str]], catalogue: Catalogue
) -> tuple[str, ...]:
    """Returns the privileges that some names mean: groups are replaced by their members.

    The order is that of the first mention. v1 groups stay as they are, since Milvus decides by
    them as such. An unknown name is left out, and so is a group that was met
    before, such as one that contains itself.

    Args:
        names: API names of privileges and of built-in or custom groups.
        custom: members of the custom groups.
        catalogue: members of the built-in groups.
    """
    found: dict[str, None] = {}
    met: set[str] = set()
    # A stack instead of recursion: stored groups may be nested to any depth.
    open_groups: list[Iterator[str]] = [iter(names)]
    while open_groups:
        name = next(open_groups[-1], None)
        if name is None:
            open_groups.pop()
        elif catalogue.is_privilege(name):
            found[name] = None
        elif name not in met:
            met.add(name)
            groups = catalogue.groups if catalogue.is_built_in_group(name) else custom
            open_groups.append(iter(groups.get(name, ())))
    return tuple(found)
