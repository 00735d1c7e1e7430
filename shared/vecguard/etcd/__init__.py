"""A narrow client of etcd's v3 API, with known revisions and known outcomes.

Root coord and the command line import it; no proxy does. Begin at `client.py`, which is all of the
API, then `cluster.py` for how endpoints are chosen and calls repeated.
"""

from vecguard.etcd.client import EtcdClient
from vecguard.etcd.errors import (
    ClusterMismatchError,
    CompactedError,
    EtcdAuthError,
    EtcdCorruptError,
    EtcdError,
    EtcdNoSpaceError,
    EtcdOutcomeUnknownError,
    EtcdPermissionError,
    EtcdRequestError,
    EtcdUnavailableError,
    LeaseNotFoundError,
)
from vecguard.etcd.model import (
    Compare,
    Delete,
    DeleteResult,
    Event,
    Get,
    KeyValue,
    LeaseGrant,
    MemberStatus,
    Operation,
    OperationResult,
    Put,
    PutResult,
    RangeResult,
    TxnResult,
    WatchBatch,
)

__all__ = [
    "ClusterMismatchError",
    "CompactedError",
    "Compare",
    "Delete",
    "DeleteResult",
    "EtcdAuthError",
    "EtcdClient",
    "EtcdCorruptError",
    "EtcdError",
    "EtcdNoSpaceError",
    "EtcdOutcomeUnknownError",
    "EtcdPermissionError",
    "EtcdRequestError",
    "EtcdUnavailableError",
    "Event",
    "Get",
    "KeyValue",
    "LeaseGrant",
    "LeaseNotFoundError",
    "MemberStatus",
    "Operation",
    "OperationResult",
    "Put",
    "PutResult",
    "RangeResult",
    "TxnResult",
    "WatchBatch",
]
