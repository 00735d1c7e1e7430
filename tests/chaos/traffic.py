"""The load: readers that log in and search, writers that change passwords and permissions.

Passwords are tried at a backend without roles, and permissions by a method of Milvus. One echo
answers both: a backend need do no more, because every decision is the proxy's.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from types import TracebackType
from typing import Self

from tests.chaos.client import Client
from tests.chaos.deployment import Deployment
from tests.chaos.history import (
    BEHIND_OUR_BACK,
    Change,
    Decision,
    History,
    Outcome,
    Request,
    Subject,
)
from tests.chaos.ledger import Account, Permission, allows, password
from tests.chaos.permissions import preparation, removal
from vecguard.errors import VecguardError
from vecguard.etcd import Compare, Delete, EtcdClient, Put
from vecguard.milvus_layout import Keys, Record
from vecguard.passwords import hash_password
from vecguard.secret import Secret

_KEYS = Keys.of("by-dev", "meta")
# After a fault is over: another election, the new leader's wait, every proxy's new session.
RECOVERY_SECONDS = 30.0
# As a client that backs off; without it, failures would be most of the history.
_PAUSE_AFTER_FAILURE_SECONDS = 0.3
# The share of searches whose request comes late, and how late at most.
_HESITATING = 0.2
_HESITATION_SECONDS = 0.3


@dataclass(frozen=True, kw_only=True)
class Load:
    """How much.

    Attributes:
        users: whose passwords are changed through the proxies, one after the other each.
        permissions: changed through the proxies, one after the other each, for each subject.
        outsiders: whose passwords are changed in etcd, behind our back; and as many mappings.
        readers: for each proxy.
        reader_pause_seconds: between two requests of one reader.
        writer_pause_seconds: the longest pause between two changes of one user.
    """

    users: int = 7
    permissions: int = 5
    outsiders: int = 2
    readers: int = 12
    reader_pause_seconds: float = 0.08
    writer_pause_seconds: float = 0.4
    outsider_pause_seconds: float = 3.0


class Traffic:
    """Runs from entering to leaving; `history` grows meanwhile.

    Attributes:
        external_bound_seconds: after which a change behind our back must be in force.
    """

    def __init__(self, deployment: Deployment, load: Load, history: History, seed: int) -> None:
        self._deployment = deployment
        self._load = load
        self._seed = seed
        self._resources = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._removals: set[asyncio.Task[str]] = set()
        self._stopping = asyncio.Event()
        self.history = history
        self.clients: list[Client] = []
        self.accounts = [Account(f"user{n}") for n in range(load.users)]
        self.outsiders = [Account(f"outsider{n}") for n in range(load.outsiders)]
        self._inside = [
            _Place(Permission(f"{subject}{n}", subject))
            for subject in (Subject.GRANT, Subject.MAPPING, Subject.GROUP)
            for n in range(load.permissions)
        ]
        self._outside = [
            _Place(Permission(f"outside{n}", Subject.MAPPING)) for n in range(load.outsiders)
        ]
        # Whatever goes wrong at that moment: the leader sees it, or loses its sessions'
        # leases, or its successor's sessions compare revisions.
        self.external_bound_seconds = deployment.lease_seconds + deployment.election_seconds + 3

    @property
    def permissions(self) -> Sequence[Permission]:
        """Those that can be used now."""
        return [place.permission for place in (*self._inside, *self._outside) if place.is_prepared]

    @property
    def everybody(self) -> Sequence[Account]:
        return [*self.accounts, *self.outsiders]

    async def __aenter__(self) -> Self:
        for proxy in self._deployment.proxies:
            client = Client(proxy.name, proxy.address)
            self.clients.append(await self._resources.enter_async_context(client))
        for account in self.everybody:
            await self.clients[0].create(account.user)
        for place in (*self._inside, *self._outside):
            await self.clients[0].create(place.permission.user)
            await self._prepare(place, Random(self._seed))
        jobs = [
            *(
                self._read(client, Random(f"{self._seed}-{client.name}-{number}"))
                for client in self.clients
                for number in range(self._load.readers)
            ),
            *(self._write(each, Random(f"{self._seed}-{each.user}")) for each in self.accounts),
            *(
                self._write_outside(each, Random(f"{self._seed}-{each.user}"))
                for each in self.outsiders
            ),
            *(
                self._write_permission(each, Random(f"{self._seed}-{each.permission.user}"))
                for each in self._inside
            ),
            *(
                self._write_permission_outside(each, Random(f"{self._seed}-{each.permission.user}"))
                for each in self._outside
            ),
        ]
        self._tasks = [asyncio.create_task(job) for job in jobs]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._removals, return_exceptions=True)
        await self._resources.aclose()

    async def stop(self) -> None:
        """No new calls; waits for those under way. Raises what a reader or writer raised."""
        self._stopping.set()
        await asyncio.gather(*self._tasks, *self._removals)

    async def look_at_the_end(self) -> None:
        """Tries everywhere each permission, each password that may be left, and the last before.

        What the last fault left behind may still be going on, such as the search for another
        root coord, and a change behind our back may not be in force yet: both have their
        bound, and only what is so after it counts.
        """
        await self._wait_for_changes_behind_our_back()
        until = time.monotonic() + RECOVERY_SECONDS
        for account in self.everybody:
            for client in self.clients:
                for version in [*account.candidates, *account.replaced[-1:]]:
                    self.history.requests.append(
                        await _decided(partial(client.request, account.user, version), until)
                    )
        for permission in self.permissions:
            for client in self.clients:
                self.history.requests.append(
                    await _decided(partial(client.search, permission), until)
                )

    async def _wait_for_changes_behind_our_back(self) -> None:
        latest = max((change.effective for change in self.history.changes), default=0.0)
        await asyncio.sleep(max(0.0, latest - time.monotonic()))

    def require_running(self) -> None:
        """Raises what a reader or writer raised."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def _read(self, client: Client, random: Random) -> None:
        pause = self._load.reader_pause_seconds
        while not self._stopping.is_set():
            self.history.requests.append(await self._request(client, random))
            await asyncio.sleep(random.uniform(0.5, 1.5) * pause)

    async def _request(self, client: Client, random: Random) -> Request:
        permissions = self.permissions
        if permissions and random.random() < 0.5:
            hesitates = random.random() < _HESITATING
            return await client.search(
                random.choice(permissions),
                hesitation_seconds=random.uniform(0, _HESITATION_SECONDS) if hesitates else 0.0,
            )
        account = random.choice(self.everybody)
        return await client.request(account.user, account.something_to_try(random))

    async def _write(self, account: Account, random: Random) -> None:
        while not self._stopping.is_set():
            client = random.choice(self.clients)
            change = await client.change(account.user, *account.attempt())
            self.history.changes.append(change)
            match change.outcome:
                case Outcome.ACKNOWLEDGED:
                    account.acknowledged(change.new)
                case Outcome.FAILED:
                    account.was_wrong()
                case Outcome.NOT_MADE:
                    await asyncio.sleep(_PAUSE_AFTER_FAILURE_SECONDS)
                case _:
                    account.perhaps(change.new)
                    await asyncio.sleep(_PAUSE_AFTER_FAILURE_SECONDS)
            await asyncio.sleep(random.uniform(0, 1) * self._load.writer_pause_seconds)

    async def _write_outside(self, account: Account, random: Random) -> None:
        while not self._stopping.is_set():
            sent = time.monotonic()
            new = account.next_version()
            outcome = await put_behind_our_back(self._deployment.etcd, account.user, new)
            answered = time.monotonic()
            effective = answered + self.external_bound_seconds
            self.history.changes.append(
                Change(
                    account.user,
                    account.candidates[0],
                    new,
                    BEHIND_OUR_BACK,
                    sent,
                    answered,
                    effective,
                    outcome,
                )
            )
            if outcome is Outcome.ACKNOWLEDGED:
                account.acknowledged(new)
            else:
                account.perhaps(new)
            await self._pause_outside(random)

    async def _write_permission(self, place: "_Place", random: Random) -> None:
        while not self._stopping.is_set():
            client = random.choice(self.clients)
            change = await client.change_permission(place.permission)
            self.history.changes.append(change)
            if change.outcome is Outcome.ACKNOWLEDGED:
                place.permission.version = change.new
            else:
                await asyncio.sleep(_PAUSE_AFTER_FAILURE_SECONDS)
                if change.outcome is not Outcome.NOT_MADE and not self._stopping.is_set():
                    await self._go_on(place, random)
            await asyncio.sleep(random.uniform(0, 1) * self._load.writer_pause_seconds)

    async def _go_on(self, place: "_Place", random: Random) -> None:
        """The next generation takes the place, and the last one is removed."""
        last = place.permission
        place.permission, place.is_prepared = last.next_generation(), False
        await self._prepare(place, random)
        for call in removal(last):
            task = asyncio.create_task(random.choice(self.clients).attempt(call))
            self._removals.add(task)
            task.add_done_callback(self._removals.discard)

    async def _prepare(self, place: "_Place", random: Random) -> None:
        """Repeats each call through any proxy until it is done, or the load stops."""
        for call in preparation(place.permission):
            while await random.choice(self.clients).attempt(call):
                if self._stopping.is_set():
                    return
                await asyncio.sleep(_PAUSE_AFTER_FAILURE_SECONDS)
        place.is_prepared = True

    async def _write_permission_outside(self, place: "_Place", random: Random) -> None:
        while not self._stopping.is_set():
            permission = place.permission
            old, new = permission.attempt()
            sent = time.monotonic()
            outcome = await give_behind_our_back(
                self._deployment.etcd, permission, give=allows(new)
            )
            answered = time.monotonic()
            self.history.changes.append(
                Change(
                    permission.name,
                    old,
                    new,
                    BEHIND_OUR_BACK,
                    sent,
                    answered,
                    answered + self.external_bound_seconds,
                    outcome,
                    subject=permission.subject,
                )
            )
            if outcome is Outcome.ACKNOWLEDGED:
                permission.version = new
            elif not self._stopping.is_set():
                await self._go_on(place, random)
            await self._pause_outside(random)

    async def _pause_outside(self, random: Random) -> None:
        """Long enough that most changes must be in force before the next one."""
        pause = self._load.outsider_pause_seconds + random.choice((0, self.external_bound_seconds))
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._stopping.wait()


@dataclass(slots=True)
class _Place:
    """A permission that is changed; after an unknown outcome another one takes its place."""

    permission: Permission
    is_prepared: bool = False


async def _decided(ask: Callable[..., Awaitable[Request]], until: float) -> Request:
    """A final request that was decided, or what it still was at the bound."""
    while True:
        request = await ask(final=True)
        if request.decision is not Decision.UNAVAILABLE or request.answered > until:
            return request
        await asyncio.sleep(_PAUSE_AFTER_FAILURE_SECONDS)


async def put_behind_our_back(etcd: EtcdClient, user: str, version: int) -> Outcome:
    """Writes a password as another program would, guarded by what was there before."""
    key = _KEYS.user(user).encode()
    value = Record.new(hash_password(Secret(password(user, version)), 4), "").encode()
    try:
        before = await etcd.range(key)
        result = await etcd.txn(
            [Compare.mod_revision(key, "==", before.kvs[0].mod_revision)], [Put(key, value)]
        )
    except VecguardError:
        return Outcome.UNKNOWN
    return Outcome.ACKNOWLEDGED if result.succeeded else Outcome.FAILED


async def give_behind_our_back(etcd: EtcdClient, permission: Permission, *, give: bool) -> Outcome:
    """Gives a role to a user as another program would, or takes it."""
    key = _KEYS.mapping(permission.user, permission.name).encode()
    try:
        await etcd.txn([], [Put(key, b"") if give else Delete(key)])
    except VecguardError:
        return Outcome.UNKNOWN
    return Outcome.ACKNOWLEDGED
