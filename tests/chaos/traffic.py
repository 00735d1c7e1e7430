"""The load: readers that log in by present and past passwords, writers that change them."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Self

from tests.chaos.client import Client
from tests.chaos.deployment import Deployment
from tests.chaos.history import BEHIND_OUR_BACK, Change, Decision, History, Outcome, Request
from tests.chaos.ledger import Account, password
from vecguard.errors import VecguardError
from vecguard.etcd import Compare, EtcdClient, Put
from vecguard.milvus_layout import Keys, Record
from vecguard.passwords import hash_password
from vecguard.secret import Secret

_KEYS = Keys.of("by-dev", "meta")
# After a fault is over: another election, the new leader's wait, every proxy's new session.
RECOVERY_SECONDS = 30.0
# As a client that backs off; without it, failures would be most of the history.
_PAUSE_AFTER_FAILURE_SECONDS = 0.3


@dataclass(frozen=True, kw_only=True)
class Load:
    """How much.

    Attributes:
        users: whose passwords are changed through the proxies, one after the other each.
        outsiders: whose passwords are changed in etcd, behind our back.
        readers: for each proxy.
        reader_pause_seconds: between two requests of one reader.
        writer_pause_seconds: the longest pause between two changes of one user.
    """

    users: int = 10
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
        self._stopping = asyncio.Event()
        self.history = history
        self.clients: list[Client] = []
        self.accounts = [Account(f"user{n}") for n in range(load.users)]
        self.outsiders = [Account(f"outsider{n}") for n in range(load.outsiders)]
        # Whatever goes wrong at that moment: the leader sees it, or loses its sessions'
        # leases, or its successor's sessions compare revisions.
        self.external_bound_seconds = deployment.lease_seconds + deployment.election_seconds + 3

    @property
    def everybody(self) -> Sequence[Account]:
        return [*self.accounts, *self.outsiders]

    async def __aenter__(self) -> Self:
        for proxy in self._deployment.proxies:
            client = Client(proxy.name, proxy.address)
            self.clients.append(await self._resources.enter_async_context(client))
        for account in self.everybody:
            await self.clients[0].create(account.user)
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
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._resources.aclose()

    async def stop(self) -> None:
        """No new calls; waits for those under way. Raises what a reader or writer raised."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    async def look_at_the_end(self) -> None:
        """Tries every password that may be left, and the last that was replaced, everywhere.

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
                        await _decided(client, account.user, version, until)
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
            account = random.choice(self.everybody)
            request = await client.request(account.user, account.something_to_try(random))
            self.history.requests.append(request)
            await asyncio.sleep(random.uniform(0.5, 1.5) * pause)

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
            # Long enough that most of them must be in force before the next one.
            pause = self._load.outsider_pause_seconds + random.choice(
                (0, self.external_bound_seconds)
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()


async def _decided(client: Client, user: str, version: int, until: float) -> Request:
    """A final request that was decided, or what it still was at the bound."""
    while True:
        request = await client.request(user, version, final=True)
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
