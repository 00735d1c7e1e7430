"""Defines the arguments and results of the client. Keys and values are bytes."""

import enum
from dataclasses import dataclass
from typing import Literal, NamedTuple

Operator = Literal["==", "!=", ">", "<"]


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A key at one revision.

    Attributes:
        create_revision: the revision at which the key was created.
        mod_revision: the revision of its last change.
        version: the number of changes since its creation, which counts as 1.
        lease: the id of the lease that it is bound to; 0 if none.
    """

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int


@dataclass(frozen=True, slots=True)
class RangeResult:
    """The answer to a read.

    Attributes:
        revision: the store's revision at the read. A watch from `revision + 1` misses no change.
        kvs: the keys in order.
        count: the number of all keys in the range, whatever the limit.
        more: whether the limit cut the answer short.
    """

    revision: int
    kvs: tuple[KeyValue, ...]
    count: int
    more: bool


@dataclass(frozen=True, slots=True)
class Put:
    """Writes a key, and binds it to a lease if one is given."""

    key: bytes
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes a key, or all keys that begin with it."""

    key: bytes
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Get:
    """Reads a key, or all keys that begin with it, inside a transaction.

    Attributes:
        range_end: read all keys from `key` up to this one, exclusive, instead.
        revision: the revision to read at; 0 reads at the transaction's.
    """

    key: bytes
    prefix: bool = False
    limit: int = 0
    keys_only: bool = False
    revision: int = 0
    range_end: bytes | None = None


Operation = Put | Delete | Get


class Subject(enum.Enum):
    """The property of a key that is compared."""

    VERSION = enum.auto()
    CREATE_REVISION = enum.auto()
    MOD_REVISION = enum.auto()


@dataclass(frozen=True, slots=True)
class Compare:
    """A condition of a transaction. All numbers of a missing key are 0.

    Attributes:
        prefix: whether it must hold for all keys that begin with `key`, if any.
    """

    key: bytes
    subject: Subject
    operator: Operator
    operand: int
    prefix: bool = False

    @classmethod
    def version(cls, key: bytes, operator: Operator, operand: int) -> "Compare":
        return cls(key, Subject.VERSION, operator, operand)

    @classmethod
    def create_revision(
        cls, key: bytes, operator: Operator, operand: int, *, prefix: bool = False
    ) -> "Compare":
        return cls(key, Subject.CREATE_REVISION, operator, operand, prefix)

    @classmethod
    def mod_revision(
        cls, key: bytes, operator: Operator, operand: int, *, prefix: bool = False
    ) -> "Compare":
        return cls(key, Subject.MOD_REVISION, operator, operand, prefix)


@dataclass(frozen=True, slots=True)
class PutResult:
    """The result of a Put."""


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """The result of a Delete: the number of deleted keys."""

    deleted: int


OperationResult = PutResult | DeleteResult | RangeResult


@dataclass(frozen=True, slots=True)
class TxnResult:
    """The outcome of a transaction.

    Attributes:
        succeeded: whether every comparison held, so that `success` was applied and not
            `failure`.
        revision: the store's revision after it, and the mod_revision of all that it wrote.
        responses: one for each operation that was applied, in their order.
    """

    succeeded: bool
    revision: int
    responses: tuple[OperationResult, ...]


class LeaseGrant(NamedTuple):
    """A new lease. etcd may grant another time than requested."""

    id: int
    ttl_seconds: int


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one key.

    Attributes:
        kv: the key after the change. For a deletion it holds the key and, as mod_revision,
            the revision of the deletion; the rest is empty.
        prev_kv: the key before the change, if it was requested and still exists.
    """

    kind: Literal["put", "delete"]
    kv: KeyValue
    prev_kv: KeyValue | None


@dataclass(frozen=True, slots=True)
class WatchBatch:
    """Changes in the order in which they happened; never only a part of a transaction.

    Attributes:
        revision: every change up to and including this revision has been delivered.
    """

    revision: int
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """The state of one member, as it reports it.

    Attributes:
        version: etcd's version, for example "3.5.1".
        leader: the leader's member id; 0 if it knows no leader.
        errors: its alarms.
    """

    endpoint: str
    version: str
    member_id: int
    leader: int
    is_learner: bool
    errors: tuple[str, ...]


def range_end_of_prefix(prefix: bytes) -> bytes:
    """Returns the first key after all keys that begin with `prefix`, in etcd's form.

    A zero byte means "no end": no key comes after a prefix of 0xff bytes.
    """
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"


def key_range(key: bytes, *, prefix: bool, range_end: bytes | None = None) -> tuple[bytes, bytes]:
    """Returns a key and a range end in etcd's form; an empty range end means the key alone.

    Raises:
        ValueError: prefix and range_end are both given, or there is no key.
    """
    if prefix and range_end is not None:
        raise ValueError("give either prefix or range_end")
    if prefix:
        # etcd accepts no empty key; a zero byte is the first possible key.
        return key or b"\0", range_end_of_prefix(key)
    if not key:
        raise ValueError("the key is empty; for all keys use prefix=True")
    return key, range_end or b""
