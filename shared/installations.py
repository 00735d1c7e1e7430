"""Finds credentials under other prefixes of an etcd, so that a wrong prefix is noticed.

A wrong `etcd.rootPath` looks like an empty store. Before root is created there, and in
`vecguard doctor`, the keys outside the configured prefix are searched.

The search is bounded, because an etcd may hold millions of keys, and etcd counts all keys of
the range that a request names. It reads keys without values, skips from directory to directory
(a directory ends at a slash), begins with directories spelled like the configured prefix, and
ends after `_MAX_REQUESTS`, `_MAX_SECONDS` or `_MAX_DEPTH`.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grpclib.const import Status

from shared.counted import counted
from shared.errors import VecguardError
from shared.etcd import EtcdAuthError, EtcdClient
from shared.etcd.model import key_range, range_end_of_prefix
from shared.milvus_layout import USERS, Keys

_MAX_REQUESTS: Final = 200
_MAX_SECONDS: Final = 5.0
# Directories above the users' own: of `/a/b/c/meta`, the leading slash included.
_MAX_DEPTH: Final = 5
_PAGE: Final = 50
# Prefixes that one message names.
_NAMED: Final = 10


class SimilarPrefixError(VecguardError):
    """Root is not created, because the configured prefix is likely a misspelled one."""

    status = Status.FAILED_PRECONDITION
    reason = "similar_prefix"


@dataclass(frozen=True, slots=True)
class Installation:
    """Credentials under one prefix.

    Attributes:
        root: the prefix, as in `Keys.root`.
        users: how many there are.
    """

    root: str
    users: int

    def __str__(self) -> str:
        return f'"{self.root}" ({counted(self.users, "user", "users")})'


@dataclass(frozen=True, slots=True)
class Survey:
    """What a search has found.

    Attributes:
        similar: prefixes that differ from the configured one only in slashes, dots, letter
            case or blanks.
        others: all other prefixes.
        gap: why some prefixes may be missing; "" when the search is complete.
    """

    similar: tuple[Installation, ...]
    others: tuple[Installation, ...]
    gap: str = ""


def named(installations: Sequence[Installation]) -> str:
    """The prefixes with their numbers of users, for a message of bounded length."""
    shown = ", ".join(map(str, installations[:_NAMED]))
    more = len(installations) - _NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def require_no_similar(found: Survey, keys: Keys) -> None:
    """Raises SimilarPrefixError when root must not be created under `keys`."""
    if found.similar:
        raise SimilarPrefixError(
            f'root is not created under the configured prefix "{keys.root}": it holds no root, '
            f"and etcd has credentials under {named(found.similar)}. Correct etcd.rootPath and "
            "etcd.metaSubPath; or set rootCoord.allowSimilarPrefix to true if this is meant to be "
            "another installation"
        )


async def survey(client: EtcdClient, keys: Keys) -> Survey:
    """Searches an etcd for credentials outside the prefix of `keys`.

    Raises:
        EtcdError: etcd does not answer. A refusal for want of a permission is no error, but
            a gap: a role of etcd may be limited to the configured prefix.
    """
    own = _likeness(keys.root)
    search = _Search(client, own)
    gap = ""
    try:
        async with asyncio.timeout(_MAX_SECONDS):
            await search.run()
    except EtcdAuthError:
        gap = "etcd does not permit to read keys outside the configured prefix"
    except TimeoutError:
        gap = "the search was ended early, etcd holds too many keys"
    if search.is_cut:
        gap = "the search was ended early, etcd holds too many keys"
    found = [
        Installation(_root(directory), users)
        for directory, users in search.found
        if _users_below(directory) != keys.users.encode()
    ]
    similar = tuple(each for each in found if _likeness(each.root) == own)
    return Survey(similar, tuple(each for each in found if each not in similar), gap)


def _likeness(root: str) -> str:
    """Returns the same text for prefixes that people may confuse."""
    return "".join(
        character
        for character in root.casefold()
        if character not in "/." and not character.isspace() and character.isprintable()
    )


class _Search:
    """A walk through the directories of an etcd, breadth first."""

    def __init__(self, client: EtcdClient, likeness: str) -> None:
        """Looks first where prefixes of this likeness can be."""
        self._client = client
        self._likeness = likeness
        self._requests = 0
        self.found: list[tuple[bytes, int]] = []

    @property
    def is_cut(self) -> bool:
        """Whether the number of requests was the limit."""
        return self._requests >= _MAX_REQUESTS

    async def run(self) -> None:
        """Fills `found`: directories that hold credentials, and how many. Raises EtcdError."""
        waiting = deque([(b"", 0)])
        while waiting and not self.is_cut:
            directory, depth = waiting.popleft()
            users = await self._users(directory)
            if users:
                self.found.append((directory, users))
            # An installation holds no others and may hold millions of keys, so it is not searched;
            # except without a prefix, when all others are below it.
            if depth < _MAX_DEPTH and (not users or not directory.strip(b"/")):
                for each in await self._directories(directory):
                    likely = self._likeness.startswith(_likeness(_root(each)))
                    add = waiting.appendleft if likely else waiting.append
                    add((each, depth + 1))

    async def _users(self, directory: bytes) -> int:
        self._requests += 1
        key = _users_below(directory)
        return (await self._client.range(key, prefix=True, count_only=True)).count

    async def _directories(self, directory: bytes) -> list[bytes]:
        """The directories directly below one."""
        found: list[bytes] = []
        first, end = key_range(directory, prefix=True)
        more = True
        while more and not self.is_cut:
            self._requests += 1
            page = await self._client.range(first, range_end=end, limit=_PAGE, keys_only=True)
            for key in (each.key for each in page.kvs):
                if key < first:
                    continue  # below the directory that was found last
                name, slash, _ = key.removeprefix(directory).partition(b"/")
                if slash:
                    found.append(directory + name + slash)
                    first = range_end_of_prefix(found[-1])
                else:
                    first = key + b"\0"
            more = page.more
        return found


def _users_below(directory: bytes) -> bytes:
    return directory + USERS.encode() + b"/"


def _root(directory: bytes) -> str:
    """What `Keys.root` is for the keys below a directory."""
    return (directory[:-1] or directory).decode(errors="replace")
