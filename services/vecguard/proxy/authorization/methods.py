"""Says for each method of Milvus's public service which privilege it needs, and on what.

Milvus 3.0 writes this as options into its protos, and has the rules of streams, of renaming and
of restoring in code. A test compares the table with the protos of the installed pymilvus.
"""

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote_to_bytes

from vecguard.privileges.catalogue import COLLECTION, GLOBAL, USER, Catalogue, Level
from vecguard.privileges.stored_names import stored_privilege
from vecguard.proxy.authorization.field_scanner import WantedFields

_SERVICE: Final = b"/milvus.proto.milvus.MilvusService/"
_MILVUS: Final = b"milvus.proto."

_CATALOGUE = Catalogue()


class Need:
    """What a method needs, and where its request names the object. Fields are field numbers.

    Attributes:
        method: without the service: "Search".
        object_type: "Collection", "Global" or "User".
        privilege: as stored: "PrivilegeSearch".
        name: the path to the field with the object's name; () means every object, "*".
        names: the repeated field with several names, or 0.
        database: the field with the name of the database, or 0.
        cluster: whether the privilege is one of the cluster, which is judged in database "*".
        moves_to: the field with the name of a second database, or 0. Where that is set and
            differs from the first, Milvus judges in database "*".
        streaming: whether requests or answers are a stream.
        is_own: whether users may do this to themselves: object type "User", own name.
        own_role: the path to the name of a role; users may ask about roles of their own. Or ().
        reads_request: whether the decision needs a field of the request.
        wanted: the fields that the decision needs.
    """

    # No dataclass: compiled code reads the attributes of this class faster.
    __slots__ = ("cluster", "database", "is_own", "method", "moves_to", "name", "names",
                 "object_type", "own_role", "privilege", "reads_request", "streaming",
                 "wanted")  # fmt: skip

    def __init__(
        self,
        method: str,
        object_type: str,
        privilege: str,
        name: tuple[int, ...] = (),
        *,
        names: int = 0,
        database: int = 0,
        cluster: bool = False,
        moves_to: int = 0,
        streaming: bool = False,
        is_own: bool = False,
        own_role: tuple[int, ...] = (),
    ) -> None:
        self.method: Final = method
        self.object_type: Final = object_type
        self.privilege: Final = privilege
        self.name: Final = name
        self.names: Final = names
        self.database: Final = database
        self.cluster: Final = cluster
        self.moves_to: Final = moves_to
        self.streaming: Final = streaming
        self.is_own: Final = is_own
        self.own_role: Final = own_role
        self.reads_request: Final = (
            name != ()
            or names != 0
            or own_role != ()
            or (not cluster and (database != 0 or moves_to != 0))
        )
        self.wanted: Final = (
            WantedFields((names,), database, moves_to, repeated=True)
            if names
            else WantedFields(name or own_role, database, moves_to)
        )


class Treatment(Enum):
    """What a method without a privilege needs. An answer to LISTED has only what the user sees."""

    LOGIN = auto()
    LISTED = auto()
    ADMIN = auto()


def treatment(path: bytes, *, strict: bool) -> Need | Treatment:
    """Returns what a call of this path needs; the same for the same arguments.

    A path that names a service of Milvus in any other way is for admins: a server behind us could
    read it as a known method, and Milvus's other services administer it.

    Args:
        path: the pseudo-header `:path`.
        strict: `common.security.rbac.strict`: whether methods without a privilege that write or
            show the data of every collection are for admins.
    """
    need = METHODS.get(path)
    if need is not None:
        return need
    if path in LISTS:
        return Treatment.LISTED
    if path in OPEN or (path in ADMIN_ONLY and not strict):
        return Treatment.LOGIN
    names_milvus = _MILVUS in unquote_to_bytes(path).lower()
    return Treatment.ADMIN if names_milvus else Treatment.LOGIN


def method_of(path: bytes) -> str | None:
    """Returns the name of a method of Milvus's service; None for an unknown one."""
    need = METHODS.get(path)
    if need is not None:
        return need.method
    if path in OPEN or path in ADMIN_ONLY:
        return path.removeprefix(_SERVICE).decode()
    return None


def _collection(
    method: str,
    privilege: str,
    name: int = 3,
    database: int = 2,
    *,
    moves_to: int = 0,
) -> Need:
    return Need(
        method,
        COLLECTION,
        stored_privilege(privilege),
        (name,),
        database=database,
        moves_to=moves_to,
    )


def _global(
    method: str,
    privilege: str,
    database: int = 0,
    *,
    moves_to: int = 0,
    own_role: tuple[int, ...] = (),
    streaming: bool = False,
) -> Need:
    return Need(
        method,
        GLOBAL,
        stored_privilege(privilege),
        database=database,
        cluster=_CATALOGUE.level_of(privilege) is Level.CLUSTER,
        moves_to=moves_to,
        own_role=own_role,
        streaming=streaming,
    )


def _user(method: str, privilege: str, *name: int) -> Need:
    return Need(
        method,
        USER,
        stored_privilege(privilege),
        name,
        cluster=_CATALOGUE.level_of(privilege) is Level.CLUSTER,
        is_own=name != (),
    )


def _paths(*methods: str) -> frozenset[bytes]:
    return frozenset(_SERVICE + method.encode() for method in methods)


_NEEDS = (
    # Collections: method, privilege, field of the collection (3), field of the database (2).
    _collection("LoadCollection", "Load"),
    _collection("ReleaseCollection", "Release"),
    _collection("GetCollectionStatistics", "GetStatistics"),
    _collection("GetLoadingProgress", "GetLoadState", 2, 4),
    _collection("GetLoadState", "GetLoadState", 2, 4),
    _collection("AddCollectionField", "AddCollectionField"),
    _collection("AddCollectionStructField", "AddCollectionField"),
    _collection("AlterCollectionSchema", "AlterCollectionSchema"),
    _collection("LoadBalance", "LoadBalance", 5, 6),
    _collection("ManualCompaction", "Compaction", 4, 5),
    Need("Flush", COLLECTION, "PrivilegeFlush", names=3, database=2),
    _collection("GetFlushState", "GetFlushState", 4, 3),
    _collection("Prewarm", "Load"),
    # Their data.
    _collection("Insert", "Insert"),
    _collection("Upsert", "Upsert"),
    _collection("Delete", "Delete"),
    _collection("Search", "Search"),
    _collection("HybridSearch", "Search"),
    _collection("Query", "Query"),
    _collection("Import", "Import", 1, 7),
    _collection("BatchUpdateManifest", "Insert"),
    _collection("RefreshExternalCollection", "RefreshExternalCollection"),
    # Their partitions and namespaces.
    _collection("CreatePartition", "CreatePartition"),
    _collection("DropPartition", "DropPartition"),
    _collection("HasPartition", "HasPartition"),
    _collection("LoadPartitions", "Load"),
    _collection("ReleasePartitions", "Release"),
    _collection("GetPartitionStatistics", "GetStatistics"),
    _collection("ShowPartitions", "ShowPartitions"),
    _collection("CreateNamespace", "CreatePartition"),
    _collection("DropNamespace", "DropPartition"),
    _collection("HasNamespace", "HasPartition"),
    _collection("DescribeNamespace", "ShowPartitions"),
    _collection("ListNamespaces", "ShowPartitions"),
    _collection("GetNamespaceStats", "ShowPartitions"),
    # Their indexes.
    _collection("CreateIndex", "CreateIndex"),
    _collection("AlterIndex", "CreateIndex"),
    _collection("DropIndex", "DropIndex"),
    _collection("DescribeIndex", "IndexDetail"),
    _collection("GetIndexStatistics", "IndexDetail"),
    _collection("GetIndexState", "IndexDetail"),
    _collection("GetIndexBuildProgress", "IndexDetail"),
    # Their snapshots.
    _collection("CreateSnapshot", "CreateSnapshot", 5, 4),
    _collection("DropSnapshot", "DropSnapshot", 4, 3),
    _collection("ListSnapshots", "ListSnapshots"),
    _collection("DescribeSnapshot", "DescribeSnapshot", 4, 3),
    _collection("RestoreSnapshot", "RestoreSnapshot", 4, 3, moves_to=6),
    _collection("ListRestoreSnapshotJobs", "RestoreSnapshot"),
    # Their row-level security.
    _collection("CreateRowPolicy", "ManageRLS"),
    _collection("UpdateRowPolicy", "ManageRLS"),
    _collection("DropRowPolicy", "ManageRLS"),
    _collection("ListRowPolicies", "ViewRLS"),
    _collection("SetRLSPrincipalTags", "ManageRLS"),
    _collection("DeleteRLSPrincipalTags", "ManageRLS"),
    _collection("GetRLSPrincipalTags", "ViewRLS"),
    _collection("ListRLSPrincipals", "ViewRLS"),
    # A database: method, privilege, field of the database.
    _global("CreateCollection", "CreateCollection", 2),
    _global("DropCollection", "DropCollection", 2),
    _global("TruncateCollection", "DropCollection", 2),
    _global("RenameCollection", "RenameCollection", 2, moves_to=5),
    _global("DescribeCollection", "DescribeCollection", 2),
    _global("BatchDescribeCollection", "DescribeCollection", 1),
    _global("AlterCollection", "CreateCollection", 2),
    _global("AlterCollectionField", "CreateCollection", 2),
    _global("AddCollectionFunction", "CreateCollection", 2),
    _global("AlterCollectionFunction", "CreateCollection", 2),
    _global("DropCollectionFunction", "CreateCollection", 2),
    _global("CreateAlias", "CreateAlias", 2),
    _global("AlterAlias", "CreateAlias", 2),
    _global("DropAlias", "DropAlias", 2),
    _global("DescribeAlias", "DescribeAlias", 2),
    _global("ListAliases", "ListAliases", 2),
    _global("AlterDatabase", "AlterDatabase", 2),
    _global("DescribeDatabase", "DescribeDatabase", 2),
    # The cluster.
    _global("CreateDatabase", "CreateDatabase", 2),
    _global("DropDatabase", "DropDatabase", 2),
    _global("FlushAll", "FlushAll", 2),
    _global("CreateResourceGroup", "CreateResourceGroup"),
    _global("DropResourceGroup", "DropResourceGroup"),
    _global("UpdateResourceGroups", "UpdateResourceGroups"),
    _global("ListResourceGroups", "ListResourceGroups"),
    _global("DescribeResourceGroup", "DescribeResourceGroup"),
    _global("TransferNode", "TransferNode"),
    _global("TransferReplica", "TransferReplica", 6),
    _global("AddFileResource", "AddFileResource"),
    _global("RemoveFileResource", "RemoveFileResource"),
    _global("ListFileResources", "ListFileResources"),
    _global("RestoreExternalSnapshot", "RestoreExternalSnapshot", 2),
    _global("ExportSnapshot", "ExportSnapshot", 3),
    _global("GetExportSnapshotState", "ExportSnapshot"),
    _global("PinSnapshotData", "PinSnapshotData", 3),
    _global("UnpinSnapshotData", "UnpinSnapshotData"),
    # Replication. Milvus has the privileges of its two streams in code.
    _global("UpdateReplicateConfiguration", "UpdateReplicateConfiguration"),
    _global("GetReplicateConfiguration", "GetReplicateConfiguration"),
    _global("CreateReplicateStream", "UpdateReplicateConfiguration", streaming=True),
    _global("DumpMessages", "ManageOwnership", streaming=True),
    # Users: method, privilege, path to the name.
    _global("CreateCredential", "CreateOwnership"),
    _global("DeleteCredential", "DropOwnership"),
    _global("ListCredUsers", "SelectOwnership"),
    _user("UpdateCredential", "UpdateUser", 2),
    _user("SelectUser", "SelectUser", 2, 1),
    _user("AddUserTags", "UpdateUser", 2),
    _user("DeleteUserTags", "UpdateUser", 2),
    _user("GetUserTags", "SelectUser", 2),
    _user("ListUsersWithTag", "SelectUser"),
    # Roles.
    _global("CreateRole", "CreateOwnership"),
    _global("AlterRole", "CreateOwnership"),
    _global("DropRole", "DropOwnership"),
    _global("OperateUserRole", "ManageOwnership"),
    _global("SelectRole", "SelectOwnership"),
    _global("SelectGrant", "SelectOwnership", own_role=(2, 1, 1)),
    _global("OperatePrivilege", "ManageOwnership"),
    _global("OperatePrivilegeV2", "ManageOwnership", 5),
    _global("CreatePrivilegeGroup", "CreatePrivilegeGroup"),
    _global("DropPrivilegeGroup", "DropPrivilegeGroup"),
    _global("ListPrivilegeGroups", "ListPrivilegeGroups"),
    _global("OperatePrivilegeGroup", "OperatePrivilegeGroup"),
    _global("BackupRBAC", "BackupRBAC"),
    _global("RestoreRBAC", "RestoreRBAC"),
)

#: Path -> what the method needs.
METHODS: Final[Mapping[bytes, Need]] = MappingProxyType(
    {_SERVICE + need.method.encode(): need for need in _NEEDS}
)

LIST_DATABASES: Final = _SERVICE + b"ListDatabases"
SHOW_COLLECTIONS: Final = _SERVICE + b"ShowCollections"
#: Those of `OPEN` whose answers are filtered.
LISTS: Final = frozenset({LIST_DATABASES, SHOW_COLLECTIONS})

DROP_COLLECTION: Final = _SERVICE + b"DropCollection"
RENAME_COLLECTION: Final = _SERVICE + b"RenameCollection"

#: Methods that may change which collection an alias refers to.
ALIAS_CHANGES: Final = _paths(
    *("CreateAlias", "AlterAlias", "DropAlias"),
    *("DropCollection", "RenameCollection", "DropDatabase"),
)

#: Methods without a privilege that tell nothing about the data of others, or whose answer is
#: filtered.
OPEN: Final = _paths(
    *("Connect", "GetVersion", "CheckHealth", "GetComponentStates", "AllocTimestamp"),
    *("HasCollection", "ShowCollections", "ListDatabases", "GetFlushAllState"),
    *("GetCompactionState", "GetCompactionStateWithPlans", "GetImportState"),
    *("RunAnalyzer", "ComputePhraseMatchSlop"),
)

#: The other methods without a privilege: ReplicateMessage writes messages of any kind, most
#: others tell about every collection, some have no use.
ADMIN_ONLY: Final = _paths(
    *("ReplicateMessage", "GetReplicateInfo", "GetMetrics", "GetReplicas"),
    *("GetPersistentSegmentInfo", "GetQuerySegmentInfo", "ListIndexedSegment"),
    *("DescribeSegmentIndexData", "ListImportTasks", "DescribePrewarmTask"),
    *("GetRestoreSnapshotState", "GetRefreshExternalCollectionProgress"),
    *("ListRefreshExternalCollectionJobs", "CalcDistance", "Dummy", "RegisterLink"),
)
