"""Encodes and decodes the messages of reads, transactions and watches.

A read has thousands of keys, and betterproto takes some 100 µs for each: see
`vecguard.grpc.raw_message`. The numbers of the fields are those of `protos/etcd`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from vecguard.etcd.model import (
    Compare,
    Delete,
    DeleteResult,
    Event,
    Get,
    KeyValue,
    Operation,
    OperationResult,
    Operator,
    Put,
    PutResult,
    RangeResult,
    Subject,
    key_range,
)
from vecguard.grpc.raw_message import (
    RawMessage,
    encoded,
    encoded_number,
    fields,
    message,
    number_of,
    text,
)

# Compare.CompareResult, and for each subject Compare.CompareTarget with the operand's field.
_OPERATORS: dict[Operator, int] = {"==": 0, ">": 1, "<": 2, "!=": 3}
_SUBJECTS: dict[Subject, tuple[int, int]] = {
    Subject.VERSION: (0, 4),
    Subject.CREATE_REVISION: (1, 5),
    Subject.MOD_REVISION: (2, 6),
}
_RANGE, _PUT, _DELETE = 1, 2, 3


@dataclass(frozen=True, slots=True)
class ReplyHeader:
    """The fields of a ResponseHeader that are used."""

    cluster_id: int = 0
    revision: int = 0


_NO_HEADER = ReplyHeader()


@dataclass(slots=True)
class RangeReply:
    """A RangeResponse."""

    header: ReplyHeader = _NO_HEADER
    kvs: tuple[KeyValue, ...] = ()
    count: int = 0
    more: bool = False

    @classmethod
    def FromString(cls, data: bytes) -> "RangeReply":  # noqa: N802 - protobuf's name
        """Reads it. Raises MalformedMessageError."""
        reply, kvs = cls(), []
        for number, value in fields(data):
            match number:
                case 1:
                    reply.header = _header(message(value))
                case 2:
                    kvs.append(key_value_of(message(value)))
                case 3:
                    reply.more = bool(number_of(value))
                case 4:
                    reply.count = number_of(value)
        reply.kvs = tuple(kvs)
        return reply

    def result(self, revision: int) -> RangeResult:
        """Returns it with the store's revision."""
        return RangeResult(revision, self.kvs, self.count, self.more)


@dataclass(slots=True)
class TxnReply:
    """A TxnResponse."""

    header: ReplyHeader = _NO_HEADER
    succeeded: bool = False
    responses: list[bytes] = field(default_factory=list)

    @classmethod
    def FromString(cls, data: bytes) -> "TxnReply":  # noqa: N802 - protobuf's name
        """Reads it. Raises MalformedMessageError."""
        reply = cls()
        for number, value in fields(data):
            match number:
                case 1:
                    reply.header = _header(message(value))
                case 2:
                    reply.succeeded = bool(number_of(value))
                case 3:
                    reply.responses.append(message(value))
        return reply

    def results(self) -> tuple[OperationResult, ...]:
        """Returns one result for each operation. Raises MalformedMessageError."""
        return tuple(_operation_result(each, self.header.revision) for each in self.responses)


@dataclass(slots=True)
class WatchReply:
    """A WatchResponse. Its `events` are for `event_of`."""

    header: ReplyHeader = _NO_HEADER
    created: bool = False
    canceled: bool = False
    compact_revision: int = 0
    cancel_reason: str = ""
    fragment: bool = False
    events: list[bytes] = field(default_factory=list)

    @classmethod
    def FromString(cls, data: bytes) -> "WatchReply":  # noqa: N802 - protobuf's name
        """Reads it. Raises MalformedMessageError."""
        reply = cls()
        for number, value in fields(data):
            match number:
                case 1:
                    reply.header = _header(message(value))
                case 3:
                    reply.created = bool(number_of(value))
                case 4:
                    reply.canceled = bool(number_of(value))
                case 5:
                    reply.compact_revision = number_of(value)
                case 6:
                    reply.cancel_reason = text(value)
                case 7:
                    reply.fragment = bool(number_of(value))
                case 11:
                    reply.events.append(message(value))
        return reply


def key_value_of(data: bytes) -> KeyValue:
    """Reads a key. Raises MalformedMessageError."""
    key = value = b""
    create_revision = mod_revision = version = lease = 0
    for number, content in fields(data):
        if number == 1:
            key = message(content)
        elif number == 2:  # noqa: PLR2004 - mvccpb.KeyValue's numbers, without a slower match
            create_revision = number_of(content)
        elif number == 3:  # noqa: PLR2004
            mod_revision = number_of(content)
        elif number == 4:  # noqa: PLR2004
            version = number_of(content)
        elif number == 5:  # noqa: PLR2004
            value = message(content)
        elif number == 6:  # noqa: PLR2004
            lease = number_of(content)
    return KeyValue(key, value, create_revision, mod_revision, version, lease)


def event_of(data: bytes) -> Event:
    """Reads an event. Raises MalformedMessageError."""
    is_deletion, kv, previous = False, _NO_KEY, None
    for number, value in fields(data):
        match number:
            case 1:
                is_deletion = bool(number_of(value))
            case 2:
                kv = key_value_of(message(value))
            case 3:
                previous = key_value_of(message(value))
    # A key that exists has a mod_revision; without one there was no previous value.
    if previous is not None and not previous.mod_revision:
        previous = None
    return Event("delete" if is_deletion else "put", kv, previous)


def range_request(
    first: bytes,
    end: bytes,
    *,
    limit: int = 0,
    revision: int = 0,
    keys_only: bool = False,
    count_only: bool = False,
) -> RawMessage:
    """Returns a RangeRequest for the keys from `first` up to `end`, in etcd's form."""
    return RawMessage(
        encoded(1, first)
        + _end(2, end)
        + encoded_number(3, limit)
        + encoded_number(4, revision)
        + encoded_number(8, keys_only)
        + encoded_number(9, count_only)
    )


def txn_request(
    compares: Iterable[Compare], success: Iterable[Operation], failure: Iterable[Operation]
) -> RawMessage:
    """Returns a TxnRequest."""
    parts = [encoded(1, _compare(compare)) for compare in compares]
    parts += [encoded(2, _request_op(operation)) for operation in success]
    parts += [encoded(3, _request_op(operation)) for operation in failure]
    return RawMessage(b"".join(parts))


def _compare(compare: Compare) -> bytes:
    target, operand = _SUBJECTS[compare.subject]
    first, end = key_range(compare.key, prefix=compare.prefix)
    return (
        encoded_number(1, _OPERATORS[compare.operator])
        + encoded_number(2, target)
        + encoded(3, first)
        + encoded_number(operand, compare.operand)
        + _end(64, end)
    )


def _request_op(operation: Operation) -> bytes:
    match operation:
        case Put(key, value, lease):
            put = encoded(1, key) + encoded(2, value) + encoded_number(3, lease)
            return encoded(_PUT, put)
        case Delete(key, prefix):
            first, end = key_range(key, prefix=prefix)
            return encoded(_DELETE, encoded(1, first) + _end(2, end))
        case Get(key, prefix, limit, keys_only, at, range_end):
            first, end = key_range(key, prefix=prefix, range_end=range_end)
            request = range_request(first, end, limit=limit, revision=at, keys_only=keys_only)
            return encoded(_RANGE, request)


def _end(number: int, key: bytes) -> bytes:
    # etcd takes an empty field for another range than an absent one.
    return encoded(number, key) if key else b""


def _operation_result(data: bytes, revision: int) -> OperationResult:
    for number, value in fields(data):
        if number == _RANGE:
            return RangeReply.FromString(message(value)).result(revision)
        if number == _DELETE:
            deleted = 0
            for within, count in fields(message(value)):
                if within == 2:  # noqa: PLR2004 - DeleteRangeResponse.deleted
                    deleted = number_of(count)
            return DeleteResult(deleted)
    return PutResult()


def _header(data: bytes) -> ReplyHeader:
    cluster_id = revision = 0
    for number, value in fields(data):
        match number:
            case 1:
                cluster_id = number_of(value)
            case 3:
                revision = number_of(value)
    return ReplyHeader(cluster_id, revision)


_NO_KEY = KeyValue(b"", b"", 0, 0, 0, 0)
