"""Finds credentials under other prefixes of an etcd, so that a wrong prefix is noticed.

A wrong `etcd.rootPath` looks like an empty store. Before root is created there, and in
`vecguard doctor`, the keys outside the configured prefix are searched, in two ways:

- Prefixes that people may confuse with the configured one are searched character by character.
  That takes a few requests for each character, however many keys etcd holds.
- Other installations are searched directory by directory (a directory ends at a slash). That may
  end early, because an etcd may hold millions of keys, and etcd counts all keys of the range that a
  request names.

Both read keys without values, and both end after `_MAX_SECONDS` and a number of requests.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from vecguard.errors import Status, VecguardError
from vecguard.etcd import EtcdAuthError, EtcdClient, EtcdRequestError
from vecguard.etcd.model import key_range, range_end_of_prefix
from vecguard.milvus_layout import USERS, Keys
from vecguard.wording import counted

# For each of the two searches. A spelling takes about five requests for each of its characters.
_MAX_REQUESTS: Final = 200
_MAX_SPELLING_REQUESTS: Final = 500
_MAX_SECONDS: Final = 5.0
_TOO_MANY: Final = "the search stopped early: etcd holds too many keys"
# Directories above the directory of users: those of `/a/b/c/meta`, the leading slash included.
_MAX_DEPTH: Final = 5
_PAGE: Final = 50
# Prefixes that one message names, and characters that it shows of each.
_NAMED: Final = 10
_NAME_LENGTH: Final = 100
# Characters that people add to a prefix or leave out. Other spaces are not searched.
_NOISE: Final = (b"/", b".", b" ")


class SimilarPrefixError(VecguardError):
    """Root is not created, because the configured prefix is likely misspelled."""

    status = Status.FAILED_PRECONDITION
    reason = "similar_prefix"


@dataclass(frozen=True, slots=True)
class Installation:
    """The credentials under one prefix.

    Attributes:
        root: the prefix, as in `Keys.root`.
        users: the number of users.
    """

    root: str
    users: int

    def __str__(self) -> str:
        name = self.root if len(self.root) <= _NAME_LENGTH else f"{self.root[:_NAME_LENGTH]}..."
        return f'"{name}" ({counted(self.users, "user", "users")})'


@dataclass(frozen=True, slots=True)
class Survey:
    """The result of a search.

    Attributes:
        similar: prefixes that differ from the configured one only in slashes, dots, letter
            case or spaces.
        others: all other prefixes.
        gap: why some prefixes may be missing; "" when both searches are complete.
    """

    similar: tuple[Installation, ...]
    others: tuple[Installation, ...]
    gap: str = ""


def named(installations: Sequence[Installation]) -> str:
    """Returns the prefixes with their numbers of users, for a message of bounded length."""
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
        EtcdError: etcd does not answer. A refusal is no error, but a gap: a role of etcd may be
            limited to the configured prefix.
    """
    own = _likeness(keys.root)
    spellings, directories = _Spellings(client, own), _Directories(client)
    gaps = [await _searched(search) for search in (spellings, directories)]
    found = {
        directory: users
        for directory, users in {**directories.found, **spellings.found}.items()
        if _users_below(directory) != keys.users.encode()
    }
    installations = [Installation(_root(directory), users) for directory, users in found.items()]
    similar = tuple(each for each in installations if _likeness(each.root) == own)
    return Survey(
        similar,
        tuple(each for each in installations if each not in similar),
        next(filter(None, gaps), ""),
    )


async def _searched(search: "_Search") -> str:
    """Runs a search. Returns why it is incomplete; "" if it is complete. Raises EtcdError."""
    try:
        async with asyncio.timeout(_MAX_SECONDS):
            await search.run()
    except EtcdAuthError:
        return "etcd does not permit reading keys outside the configured prefix"
    except EtcdRequestError as error:
        return f"etcd refuses to list keys outside the configured prefix: {error.message}"
    except TimeoutError:
        return _TOO_MANY
    return _TOO_MANY if search.is_cut else ""


def _likeness(root: str) -> str:
    """Returns one text for all prefixes that people may confuse with each other."""
    return "".join(
        character
        for character in root.casefold()
        if character not in "/." and not character.isspace() and character.isprintable()
    )


class _Search(ABC):
    """Holds what both searches share.

    Attributes:
        found: the number of users below each directory that has some.
        is_cut: whether the search ended at the limit of requests.
    """

    def __init__(self, client: EtcdClient, max_requests: int) -> None:
        self._client = client
        self._requests_left = max_requests
        self.found: dict[bytes, int] = {}
        self.is_cut = False

    @abstractmethod
    async def run(self) -> None:
        """Fills `found`. Raises EtcdError."""

    def _may_ask(self) -> bool:
        self._requests_left -= 1
        self.is_cut = self._requests_left < 0
        return not self.is_cut

    async def _count_users(self, directory: bytes) -> bool:
        """Counts the users directly below a directory. Returns whether there are some."""
        key = _users_below(directory)
        users = (await self._client.range(key, prefix=True, count_only=True)).count
        if users:
            self.found[directory] = users
        return bool(users)


class _Spellings(_Search):
    """Finds the directories that people may confuse with one, character by character."""

    def __init__(self, client: EtcdClient, likeness: str) -> None:
        super().__init__(client, _MAX_SPELLING_REQUESTS)
        self._likeness = likeness

    async def run(self) -> None:
        """Fills `found`. Raises EtcdError."""
        # The beginning of a key, and the length of the likeness that it matches.
        waiting = deque([(b"", 0)])
        while waiting:
            beginning, length = waiting.popleft()
            if length == len(self._likeness):
                directory = beginning if beginning.endswith(b"/") else beginning + b"/"
                if directory not in self.found and self._may_ask():
                    await self._count_users(directory)
            for more, step in self._continuations(length):
                if not self._may_ask():
                    return
                longer = beginning + more
                page = await self._client.range(longer, prefix=True, limit=1, keys_only=True)
                if page.kvs:
                    waiting.append((longer, length + step))

    def _continuations(self, length: int) -> Iterator[tuple[bytes, int]]:
        if length < len(self._likeness):
            character = self._likeness[length]
            for spelling in dict.fromkeys((character, character.upper())):
                yield spelling.encode(), 1
        for each in _NOISE:
            yield each, 0


class _Directories(_Search):
    """Finds all directories with users, breadth first."""

    def __init__(self, client: EtcdClient) -> None:
        super().__init__(client, _MAX_REQUESTS)

    async def run(self) -> None:
        """Fills `found`. Raises EtcdError."""
        waiting = deque([(b"", 0)])
        while waiting:
            directory, depth = waiting.popleft()
            if not self._may_ask():
                return
            has_users = await self._count_users(directory)
            # An installation contains no other one and may hold millions of keys, so it is not
            # searched. An installation without a prefix is: all others are below it.
            if depth < _MAX_DEPTH and (not has_users or not directory.strip(b"/")):
                waiting += [(each, depth + 1) for each in await self._below(directory)]

    async def _below(self, directory: bytes) -> list[bytes]:
        """Returns the directories directly below a directory."""
        found: list[bytes] = []
        first, end = key_range(directory, prefix=True)
        more = True
        while more and self._may_ask():
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
    """Returns the `Keys.root` of the keys below a directory."""
    return (directory[:-1] or directory).decode(errors="replace")
