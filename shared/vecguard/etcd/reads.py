"""Reads several ranges of the store at one revision."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from vecguard.etcd import CompactedError, EtcdClient, EtcdNoSpaceError, Get, KeyValue, RangeResult
from vecguard.etcd.model import key_range

T = TypeVar("T")

# Records read at a time. Reading a page blocks the event loop, the leader's keepalives
# included, for some 5 ms.
_PAGE = 500
#: The maximum number of operations, and of conditions, of one of our transactions. etcd refuses
#: more than 128 of either by default (--max-txn-ops).
MOST_OPERATIONS = 120


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[T]):
    """A value as it was at one revision of the store."""

    revision: int
    value: T


class Reads:
    """Offers linearizable reads whose parts are of one revision.

    A read that takes several requests raises CompactedError when its revision is compacted between
    two of them: see `until_whole`.
    """

    def __init__(self, client: EtcdClient) -> None:
        self._client = client

    async def at_once(
        self, gets: Sequence[Get], *, revision: int = 0
    ) -> Snapshot[list[tuple[KeyValue, ...]]]:
        """Returns the answers of all reads, at the newest revision or at the given one."""
        answers: list[tuple[KeyValue, ...]] = []
        for start in range(0, len(gets), MOST_OPERATIONS):
            part = gets[start:][:MOST_OPERATIONS]
            try:
                read = await self._in_one_request(part, revision)
            except EtcdNoSpaceError:
                # etcd refuses every transaction then, and no other read.
                read = await self._one_by_one(part, revision)
            revision = read.revision
            answers += read.value
        return Snapshot(revision, answers)

    async def _in_one_request(
        self, gets: Sequence[Get], revision: int
    ) -> Snapshot[list[tuple[KeyValue, ...]]]:
        at = [get if get.revision == revision else replace(get, revision=revision) for get in gets]
        result = await self._client.txn([], at)
        found = [each.kvs for each in result.responses if isinstance(each, RangeResult)]
        return Snapshot(revision or result.revision, found)

    async def _one_by_one(
        self, gets: Sequence[Get], revision: int
    ) -> Snapshot[list[tuple[KeyValue, ...]]]:
        answers = []
        for get in gets:
            result = await self._client.range(
                get.key,
                prefix=get.prefix,
                range_end=get.range_end,
                limit=get.limit,
                keys_only=get.keys_only,
                revision=revision,
            )
            revision = revision or result.revision
            answers.append(result.kvs)
        return Snapshot(revision, answers)

    async def below_each(self, prefixes: Sequence[str], *, revision: int) -> list[list[KeyValue]]:
        """Returns all keys with each of the prefixes at a revision, in requests of bounded size."""
        found: list[list[KeyValue]] = [[] for _ in prefixes]
        left = deque(
            (place, *key_range(prefix.encode(), prefix=True))
            for place, prefix in enumerate(prefixes)
        )
        while left:
            part = [left.popleft() for _ in range(min(len(left), MOST_OPERATIONS))]
            limit = _PAGE // len(part)
            gets = [
                Get(first, range_end=end, limit=limit, revision=revision) for _, first, end in part
            ]
            read = await self.at_once(gets, revision=revision)
            for (place, _, end), kvs in zip(part, read.value, strict=True):
                found[place] += kvs
                if len(kvs) == limit:
                    left.append((place, kvs[-1].key + b"\0", end))
        return found

    async def all_below(
        self, prefix: str, *, revision: int = 0, keys_only: bool = False
    ) -> Snapshot[list[KeyValue]]:
        """Returns all keys with a prefix, at the newest revision or at the given one."""
        first, end = key_range(prefix.encode(), prefix=True)
        found: list[KeyValue] = []
        while True:
            page = await self._client.range(
                first, range_end=end, limit=_PAGE, revision=revision, keys_only=keys_only
            )
            revision = revision or page.revision
            found += page.kvs
            if not page.more:
                return Snapshot(revision, found)
            first = page.kvs[-1].key + b"\0"


async def until_whole(read: Callable[[], Awaitable[T]]) -> T:
    """Repeats a read of several steps until its revision is not compacted between two of them."""
    while True:
        with suppress(CompactedError):
            return await read()
