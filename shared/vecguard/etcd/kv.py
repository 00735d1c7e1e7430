"""Reads keys and makes transactions."""

from collections.abc import Sequence

from betterproto import which_one_of

from vecguard.etcd.channel import Rpc
from vecguard.etcd.cluster import Access, Cluster
from vecguard.etcd.errors import EtcdError, EtcdNoSpaceError, EtcdOutcomeUnknownError
from vecguard.etcd.model import (
    Compare,
    Delete,
    DeleteResult,
    Get,
    Operation,
    OperationResult,
    Operator,
    Put,
    PutResult,
    RangeResult,
    Subject,
    TxnResult,
    key_range,
    key_value,
)
from vecguard.generated import etcdserverpb as pb

_RANGE = Rpc("/etcdserverpb.KV/Range", pb.RangeRequest, pb.RangeResponse)
_TXN = Rpc("/etcdserverpb.KV/Txn", pb.TxnRequest, pb.TxnResponse)

_OPERATORS: dict[Operator, str] = {
    "==": "EQUAL",
    ">": "GREATER",
    "<": "LESS",
    "!=": "NOT_EQUAL",
}
# The name of the target, and of the field that holds the operand.
_SUBJECTS: dict[Subject, tuple[str, str]] = {
    Subject.VERSION: ("VERSION", "version"),
    Subject.CREATE_REVISION: ("CREATE", "create_revision"),
    Subject.MOD_REVISION: ("MOD", "mod_revision"),
}


async def read(
    cluster: Cluster, request: pb.RangeRequest, timeout_seconds: float | None
) -> RangeResult:
    """Makes one read; see `EtcdClient.range`."""
    reply = await cluster.call(
        _RANGE,
        request,
        header=lambda reply: reply.header,
        access=Access.READ,
        timeout_seconds=timeout_seconds,
    )
    return _range_result(reply, reply.header.revision)


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
            pb.TxnRequest(
                compare=[_compare(compare) for compare in compares],
                success=[_request_op(operation) for operation in success],
                failure=[_request_op(operation) for operation in failure],
            ),
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
    revision = reply.header.revision
    return TxnResult(
        succeeded=reply.succeeded,
        revision=revision,
        responses=tuple(_operation_result(response, revision) for response in reply.responses),
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
        found = await read(
            cluster, pb.RangeRequest(key=first, range_end=end, limit=1), timeout_seconds
        )
    except EtcdError as error:
        raise _unknown_for_want_of_space(f"the key cannot be read: {error.message}") from error
    stored = found.kvs[0] if found.kvs else None
    if stored is not None and stored.mod_revision <= seen:
        return None  # it is as it was before
    if isinstance(evidence, Delete):
        raise _unknown_for_want_of_space("it may have deleted a key or not")
    if stored is None:
        return None
    if (stored.value, stored.lease) == (evidence.value, evidence.lease):
        return stored.mod_revision
    raise _unknown_for_want_of_space("another change was made at the same time")


def _unknown_for_want_of_space(why: str) -> EtcdOutcomeUnknownError:
    return EtcdOutcomeUnknownError(
        f"etcd write: outcome unknown, safe to repeat. etcd ran out of space, and {why}"
    )


def _compare(compare: Compare) -> pb.Compare:
    target, field = _SUBJECTS[compare.subject]
    first, end = key_range(compare.key, prefix=compare.prefix)
    message = pb.Compare(
        result=pb.CompareCompareResult.from_string(_OPERATORS[compare.operator]),
        target=pb.CompareCompareTarget.from_string(target),
        key=first,
        range_end=end,
    )
    setattr(message, field, compare.operand)
    return message


def _request_op(operation: Operation) -> pb.RequestOp:
    match operation:
        case Put(key, value, lease):
            return pb.RequestOp(request_put=pb.PutRequest(key=key, value=value, lease=lease))
        case Delete(key, prefix):
            first, end = key_range(key, prefix=prefix)
            return pb.RequestOp(
                request_delete_range=pb.DeleteRangeRequest(key=first, range_end=end)
            )
        case Get(key, prefix, limit, keys_only, at):
            first, end = key_range(key, prefix=prefix)
            return pb.RequestOp(
                request_range=pb.RangeRequest(
                    key=first,
                    range_end=end,
                    limit=limit,
                    revision=at,
                    keys_only=keys_only,
                )
            )


def _operation_result(response: pb.ResponseOp, revision: int) -> OperationResult:
    match which_one_of(response, "response"):
        case ("response_range", pb.RangeResponse() as reply):
            return _range_result(reply, revision)
        case ("response_delete_range", pb.DeleteRangeResponse() as reply):
            return DeleteResult(deleted=reply.deleted)
        case _:
            return PutResult()


def _range_result(reply: pb.RangeResponse, revision: int) -> RangeResult:
    return RangeResult(
        revision=revision,
        kvs=tuple(key_value(kv) for kv in reply.kvs),
        count=reply.count,
        more=reply.more,
    )
