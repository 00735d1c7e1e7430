"""Reads keys and makes transactions."""

from collections.abc import Sequence

from vecguard.etcd.channel import Rpc
from vecguard.etcd.cluster import Access, Cluster
from vecguard.etcd.errors import EtcdError, EtcdNoSpaceError, EtcdOutcomeUnknownError
from vecguard.etcd.model import (
    Compare,
    Delete,
    Get,
    Operation,
    Put,
    RangeResult,
    TxnResult,
    key_range,
)
from vecguard.etcd.wire import RangeReply, TxnReply, range_request, txn_request
from vecguard.grpc.raw_message import RawMessage

_RANGE = Rpc("/etcdserverpb.KV/Range", RawMessage, RangeReply)
_TXN = Rpc("/etcdserverpb.KV/Txn", RawMessage, TxnReply)


async def read(cluster: Cluster, request: RawMessage, timeout_seconds: float | None) -> RangeResult:
    """Makes one read by a RangeRequest; see `EtcdClient.range`."""
    reply = await cluster.call(
        _RANGE,
        request,
        header=lambda reply: reply.header,
        access=Access.READ,
        timeout_seconds=timeout_seconds,
    )
    return reply.result(reply.header.revision)


async def transact(
    cluster: Cluster,
    compares: Sequence[Compare],
    success: Sequence[Operation],
    failure: Sequence[Operation],
    timeout_seconds: float | None,
) -> TxnResult:
    """Makes one transaction; see `EtcdClient.txn`."""
    writes = any(not isinstance(operation, Get) for operation in (*success, *failure))
    seen = cluster.newest_revision
    try:
        reply = await cluster.call(
            _TXN,
            txn_request(compares, success, failure),
            header=lambda reply: reply.header,
            access=Access.WRITE if writes else Access.READ,
            timeout_seconds=timeout_seconds,
        )
    except EtcdNoSpaceError:
        if not writes:
            raise
        revision = await _revision_of(cluster, success, seen, timeout_seconds)
        if revision is None:
            raise
        return TxnResult(succeeded=True, revision=revision, responses=())
    return TxnResult(
        succeeded=reply.succeeded, revision=reply.header.revision, responses=reply.results()
    )


async def _revision_of(
    cluster: Cluster, operations: Sequence[Operation], seen: int, timeout_seconds: float | None
) -> int | None:
    """Finds out whether a transaction was applied that failed with "database space exceeded".

    etcd applies the writes that make the database outgrow its quota, and answers them as it
    answers the writes that it refuses afterwards (its quotaApplierV3). So this reads the first
    key that the transaction puts; a transaction is applied as a whole or not at all.

    Returns:
        The revision at which it was applied; None when it was not applied.

    Raises:
        EtcdOutcomeUnknownError: the key cannot be read or proves nothing: the absence of a key
            does not prove that this transaction has deleted it.
    """
    writes = [operation for operation in operations if not isinstance(operation, Get)]
    evidence = next((each for each in writes if isinstance(each, Put)), writes[0])
    first, end = key_range(evidence.key, prefix=False)
    try:
        found = await read(cluster, range_request(first, end, limit=1), timeout_seconds)
    except EtcdError as error:
        raise _unknown_for_want_of_space(f"the key cannot be read: {error.message}") from error
    stored = found.kvs[0] if found.kvs else None
    if stored is not None and stored.mod_revision <= seen:
        return None  # it is as it was before
    if isinstance(evidence, Delete):
        raise _unknown_for_want_of_space("it is unknown whether it deleted the key")
    if stored is None:
        return None
    if (stored.value, stored.lease) == (evidence.value, evidence.lease):
        return stored.mod_revision
    raise _unknown_for_want_of_space("another change was made at the same time")


def _unknown_for_want_of_space(why: str) -> EtcdOutcomeUnknownError:
    return EtcdOutcomeUnknownError(
        f"etcd write: outcome unknown, safe to repeat. etcd ran out of space, and {why}"
    )
