"""Finds out whether a store has root's record, has lost it, or is new.

Vecguard keeps a marker in addition to Milvus's keys. It is written in the transaction that creates
root, and by each leader that finds root in place, so a store without root that has the marker has
lost it. Without the marker, any other credential shows the loss: Milvus creates root first.
"""

from enum import Enum, auto
from typing import Final

from vecguard.etcd import EtcdClient, Get, Put, RangeResult
from vecguard.milvus_layout import Keys
from vecguard.usernames import ROOT

#: The message for operators.
LOST: Final = (
    f"the record of {ROOT} is missing, and this store had one: restore it, or give {ROOT} a new "
    "password with: vecguard root reset --offline"
)


class RootState(Enum):
    """Whether a store has root, has lost it, or is new."""

    FOUND = auto()
    #: The store was always empty.
    NEW = auto()
    LOST = auto()


async def root_state(
    client: EtcdClient, keys: Keys, *, timeout_seconds: float | None = None
) -> RootState:
    """Returns the state of root's record. Raises EtcdError."""
    read = await client.txn(
        [],
        [
            Get(keys.user(ROOT).encode(), keys_only=True),
            Get(keys.root_marker.encode(), keys_only=True),
            Get(keys.users.encode(), prefix=True, limit=1, keys_only=True),
        ],
        timeout_seconds=timeout_seconds,
    )
    root, marker, others = (
        isinstance(response, RangeResult) and bool(response.kvs) for response in read.responses
    )
    if root:
        return RootState.FOUND
    return RootState.LOST if marker or others else RootState.NEW


def root_marker(keys: Keys) -> Put:
    """Returns the operation that writes the marker."""
    return Put(keys.root_marker.encode(), b"1")
