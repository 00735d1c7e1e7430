"""What goes into the client and comes out of it. Keys and values are bytes."""

import enum
from dataclasses import dataclass
from typing import Literal, NamedTuple

from vecguard.generated import mvccpb

Operator = Literal["==", "!=", ">", "<"]


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A key as it stood at one revision.

    Attributes:
        create_revision: the revision at which the key was created.
        mod_revision: the revision of its last change.
        version: how often it was changed since its creation, which is 1.
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
        revision: the store's revision when it was read. A watch that starts at
            `revision + 1` misses nothing.
        kvs: in the order of the keys.
        count: all keys in the range, whatever the limit.
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
    """Reads a key, or all keys that begin with it, inside a transaction."""

    key: bytes
    prefix: bool = False
    limit: int = 0
    keys_only: bool = False


Operation = Put | Delete | Get


class Subject(enum.Enum):
    """What of a key is compared."""

    VERSION = enum.auto()
    CREATE_REVISION = enum.auto()
    MOD_REVISION = enum.auto()


@dataclass(frozen=True, slots=True)
class Compare:
    """A condition of a transaction. Of a key that does not exist all numbers are 0.

    Attributes:
        prefix: it must hold for all keys that begin with `key`, if any.
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
    def mod_revision(cls, key: bytes, operator: Operator, operand: int) -> "Compare":
        return cls(key, Subject.MOD_REVISION, operator, operand)


@dataclass(frozen=True, slots=True)
class PutResult:
    """A key was written."""


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """So many keys were deleted."""

    deleted: int


OperationResult = PutResult | DeleteResult | RangeResult


@dataclass(frozen=True, slots=True)
class TxnResult:
    """The outcome of a transaction.

    Attributes:
        succeeded: whether every comparison held, so that `success` was applied and not
            `failure`.
        revision: of the store after it; all that it wrote has this mod_revision.
        responses: one for each operation that was applied, in their order.
    """

    succeeded: bool
    revision: int
    responses: tuple[OperationResult, ...]


class LeaseGrant(NamedTuple):
    """A new lease. etcd may grant another time than was asked for."""

    id: int
    ttl_seconds: int


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one key.

    Attributes:
        kv: the key after the change. Of a deletion it holds the key and, as mod_revision,
            the revision of the deletion; the rest is empty.
        prev_kv: the key before the change, if that was asked for and still exists.
    """

    kind: Literal["put", "delete"]
    kv: KeyValue
    prev_kv: KeyValue | None


@dataclass(frozen=True, slots=True)
class WatchBatch:
    """Changes in the order in which they happened, never a part of a transaction.

    Attributes:
        revision: every change up to and including it has now been delivered.
    """

    revision: int
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """One member as it sees itself.

    Attributes:
        version: of etcd, for example "3.5.1".
        leader: the leader's member id; 0 if it knows of none.
        errors: alarms.
    """

    endpoint: str
    version: str
    member_id: int
    leader: int
    is_learner: bool
    errors: tuple[str, ...]


def range_end_of_prefix(prefix: bytes) -> bytes:
    """The first key after all keys that begin with `prefix`, as etcd wants it.

    A zero byte stands for "no end": nothing comes after a prefix of 0xff bytes.
    """
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"


def key_range(key: bytes, *, prefix: bool, range_end: bytes | None = None) -> tuple[bytes, bytes]:
    """A key and a range end in etcd's form; an empty range end means the key alone.

    Raises:
        ValueError: prefix and range_end are both given, or there is no key.
    """
    if prefix and range_end is not None:
        raise ValueError("give either prefix or range_end")
    if prefix:
        # etcd takes no empty key; a zero byte is the first key of all.
        return key or b"\0", range_end_of_prefix(key)
    if not key:
        raise ValueError("the key is empty; for all keys use prefix=True")
    return key, range_end or b""


def key_value(kv: mvccpb.KeyValue) -> KeyValue:
    """Takes a key over from etcd's message."""
    return KeyValue(
        key=kv.key,
        value=kv.value,
        create_revision=kv.create_revision,
        mod_revision=kv.mod_revision,
        version=kv.version,
        lease=kv.lease,
    )
