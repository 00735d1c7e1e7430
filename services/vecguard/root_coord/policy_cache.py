"""Answers from memory which grants roles have, while none has changed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

from vecguard.concurrency.own_task import mark_as_seen
from vecguard.concurrency.shared_attempt import SharedAttempt
from vecguard.etcd import CompactedError
from vecguard.privileges.stored_names import api_name
from vecguard.root_coord.role_wire import encoded_group, encoded_role
from vecguard.root_coord.store.role_interface import RolesAndGroups, RoleStore

# A grant takes some 60 bytes.
_MAX_BYTES: Final = 32 * 2**20
# The bytes of an entry in addition to its messages.
_ENTRY_BYTES: Final = 500


@dataclass(frozen=True, slots=True)
class PolicyRead:
    """Encoded roles that exist, and the groups that they name, as of one revision."""

    revision: int
    roles: Sequence[bytes]
    groups: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class _Entry:
    """An encoded role, None if it does not exist, and the groups that it names."""

    role: bytes | None
    groups: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        return _ENTRY_BYTES + len(self.role or b"") + sum(map(len, self.groups))


class _Moment:
    """The roles that were read at one revision, and the reads in progress.

    Attributes:
        revision: 0 until it is known.
        entries: by the names of roles; the least recently used go first.
        reads: the reads under way, by the same names.
    """

    def __init__(self, max_bytes: int) -> None:
        self.revision = 0
        self._choosing: SharedAttempt[int] = SharedAttempt()
        self.entries: LRUCache[str, _Entry] = LRUCache(max_bytes, getsizeof=lambda each: each.size)
        self.reads: dict[str, asyncio.Task[dict[str, _Entry]]] = {}

    async def choose(self, newest: Callable[[], Awaitable[int]]) -> None:
        """Makes `revision` known, by one call for all that wait for it."""

        async def choose() -> int:
            self.revision = await newest()
            return self.revision

        await self._choosing.get(lambda: self.revision or None, choose)

    def keep(self, entries: dict[str, _Entry]) -> None:
        """Keeps what fits."""
        for name, entry in entries.items():
            if entry.size <= self.entries.maxsize:
                self.entries[name] = entry


class PolicyCache:
    """Reads roles from the store once, and forgets them when anything of the policy changes.

    All that it holds is of one revision, as its answers say: the first request after a change
    chooses the newest revision, and later ones read at the same. `forget` and `changed_at` empty
    it; a request is answered from what was held, or was read, since the last one before it.

    No proxy decides longer by an older policy than it would without this cache:

    - A change of this root coord at revision R calls `forget` when it is stored and before its
      notice is sent. A request from before that gets an answer whose revision may be below R; the
      notice makes the proxy drop it. A request from after it gets a revision that was chosen after
      R was stored, so not below R.
    - A change by others at revision C calls `changed_at` when the watch has seen it and before its
      notice is sent. Between C and that moment answers may be older than C, as those of proxies'
      caches are; they say so, and the notice makes the proxies drop them. A request from after it,
      that of a proxy that has got no notice because it opened its session later included, gets a
      revision of at least C.

    So a proxy that reads again after a notice gets what it asks for at once. Another term has
    another cache.
    """

    def __init__(self, store: RoleStore, *, max_bytes: int = _MAX_BYTES) -> None:
        """Starts empty. Holds at most so many bytes of encoded roles and groups."""
        self._store = store
        self._max_bytes = max_bytes
        self._moment = _Moment(max_bytes)
        self._tasks: set[asyncio.Task[dict[str, _Entry]]] = set()

    def forget(self) -> None:
        """Discards all that was read so far, so that it answers no later request."""
        self._moment = _Moment(self._max_bytes)

    def changed_at(self, revision: int) -> None:
        """Does the same, unless the cached roles were read at this revision or later."""
        if self._moment.revision < revision:
            self.forget()

    async def get(self, names: Iterable[str]) -> PolicyRead:
        """Returns those of these roles that exist. Raises UnavailableError."""
        wanted = tuple(dict.fromkeys(names))
        while True:
            moment = self._moment
            try:
                return await self._answer(moment, wanted)
            except CompactedError:
                if moment is self._moment:
                    self.forget()

    async def _answer(self, moment: _Moment, names: Sequence[str]) -> PolicyRead:
        await moment.choose(self._store.revision)
        held = {name: moment.entries[name] for name in names if name in moment.entries}
        missing = [name for name in names if name not in held]
        unread = [name for name in missing if name not in moment.reads]
        if unread:
            self._begin(moment, unread)
        for task in {moment.reads[name] for name in missing}:
            held |= await asyncio.shield(task)
        entries = [held[name] for name in names]
        return PolicyRead(
            moment.revision,
            [entry.role for entry in entries if entry.role is not None],
            tuple(dict.fromkeys(group for entry in entries for group in entry.groups)),
        )

    def _begin(self, moment: _Moment, names: Sequence[str]) -> None:
        """Begins a read that continues when its first caller has left: others may wait for it."""
        task = asyncio.create_task(self._read(moment, names))
        moment.reads |= dict.fromkeys(names, task)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(mark_as_seen)

    async def _read(self, moment: _Moment, names: Sequence[str]) -> dict[str, _Entry]:
        try:
            read = await self._store.get_roles(names, revision=moment.revision)
            entries = dict.fromkeys(names, _Entry(None)) | await _entries(read.value)
            moment.keep(entries)
        finally:
            for name in names:
                del moment.reads[name]
        return entries


async def _entries(read: RolesAndGroups) -> dict[str, _Entry]:
    groups = {group.name: encoded_group(group) for group in read.groups}
    entries = {}
    for role in read.roles:
        named = {api_name(stored) for stored in {grant.privilege for grant in role.grants}}
        entries[role.name] = _Entry(
            await encoded_role(role),
            tuple(group for name, group in groups.items() if name in named),
        )
    return entries
