"""What storms of wrong logins do to other clients. Keys `abuse.*`.

One proxy with default limits, alone on SERVER_CORE together with its bcrypt threads; etcd, root
coord, an echoing backend, the load of known logins (16 forwarded calls at a time on one
connection of grpcio) and the attackers (200 connections from 20 addresses, each repeating at
once) share LOAD_CORE. All phases are one run of the same processes; a pause between them lets
buckets and queues recover. The attackers are connected, but silent, in the quiet phase as well.

In each phase `known_rps` and `known_p99_ms` are of logins that the proxy knows, and
`known_p99_ratio` compares with the quiet phase. An attack over many connections takes part of
the load's core as well, so that some of the loss in `known_rps` is the generator's;
`proxy_cpu_us` is the proxy's processor time for each request of either kind, and tells what
an attack really costs it.

`same_wrong.known_cpu_ratio` is what a known login costs the proxy beside the attack, when what the
attack's requests cost by themselves is taken off, over what it costs without: whether the one makes
the other dearer. All three parts have the same arrival rates, which leave the proxy time. (As fast
as answers come, the load of many connections is carried in fewer and larger reads the busier the
proxy is, and any two parts would differ by that alone.)

`proxy_waited_ratio` and `load_waited_ratio` are the parts of the time for which the proxy's event
loop, and the load's, were ready to run and had no core: the first is what its own bcrypt threads
take, if the machine does nothing else, and the second is time by which latencies are too long
through no fault of the proxy. `attack_judged` is how many guesses were given a bcrypt.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio

from deploy.local.stack import CHECKOUT, LocalStack
from tests.bench.attackers import Attack, Kind, encoded, first_login
from tests.bench.echo import METHOD
from tests.bench.load import Load, login, run_load
from tests.bench.peers.programs import echo_backend
from tests.bench.processes import (
    LOAD_CORE,
    SERVER_CORE,
    children_on,
    cpu_seconds,
    waited_seconds,
)
from tests.bench.report import Report
from tests.bench.stacks import etcd_and_root_coord
from vecguard.generated.vecguard.internal import v1 as internal
from vecguard.grpc.credentials import hash_to_wire
from vecguard.passwords import hash_password
from vecguard.secret import Secret

SECONDS = 8.0
CONCURRENCY = 16
#: Of known logins and of attackers, where costs are compared.
KNOWN_RATE, ATTACK_RATE = 500.0, 4000.0
FIRST_LOGINS = 1000
FIRST_LOGINS_AT_A_TIME = 8
_ALONE = 5
_PASSWORD = "right-123"
_PAUSE_SECONDS = 2.0
_CREATE = "/vecguard.internal.v1.RootCoord/CreateCredential"
_OK, _EXHAUSTED, _UNAUTHENTICATED = (
    code.value[0]
    for code in (
        grpc.StatusCode.OK,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAUTHENTICATED,
    )
)


class Attackers:
    """The attacking process, connected and waiting for its word.

    Attributes:
        statuses: how often each gRPC status came, when it is over.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.statuses: dict[int, int] = {}

    async def begin(self) -> None:
        await self._say()

    async def _say(self) -> None:
        """Starts them; the second time, stops them."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        await self._process.stdin.drain()

    async def stop(self) -> None:
        await self._say()
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            found = json.loads(await self._process.stdout.readline())
        self.statuses = {int(status): times for status, times in found.items()}
        wrong = set(self.statuses) - {_UNAUTHENTICATED, _EXHAUSTED}
        if wrong:
            raise AssertionError(f"attackers were answered with {self.statuses}")

    @property
    def answers(self) -> int:
        return sum(self.statuses.values())


@asynccontextmanager
async def connected(
    address: str, kind: Kind, rate: float | None = None
) -> AsyncIterator[Attackers]:
    """Attackers are connected meanwhile, and do nothing until they are started."""
    host, _, port = address.rpartition(":")
    with children_on(LOAD_CORE):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.attackers"),
            Attack(kind, host, int(port), rate=rate).argument(),
            cwd=CHECKOUT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            await process.stdout.readline()
        yield Attackers(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def attacked(address: str, kind: Kind, rate: float | None = None) -> AsyncIterator[Attackers]:
    """An attack goes on meanwhile."""
    async with connected(address, kind, rate) as attackers:
        await attackers.begin()
        yield attackers
        await attackers.stop()


async def known_logins(address: str, seconds: float, rate: float | None = None) -> Load:
    return await run_load(
        address,
        METHOD,
        seconds=seconds,
        concurrency=CONCURRENCY,
        rate=rate,
        metadata=login("root", "Milvus"),
    )


async def first_logins(address: str, users: list[str]) -> list[float]:
    """Milliseconds until each user was in, so many at a time. Raises when one is refused."""
    host, _, port = address.rpartition(":")
    waiting = iter(enumerate(users))
    taken: list[float] = []

    async def arrive() -> None:
        for number, user in waiting:
            status, ms = await first_login(host, int(port), number, encoded(user, _PASSWORD))
            if status != _OK:
                raise AssertionError(f"the right login of {user} was answered with {status}")
            taken.append(ms)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(FIRST_LOGINS_AT_A_TIME):
            tasks.create_task(arrive())
    return taken


async def create_users(stack: LocalStack, users: list[str]) -> None:
    """Through root coord's own port, all with one hash: bcrypt is not what is waited for."""
    password = hash_to_wire(hash_password(Secret(_PASSWORD), 10))
    async with grpc.aio.insecure_channel(stack.root_coord.address) as channel:
        create = channel.unary_unary(_CREATE)
        for user in users:
            request = internal.CreateCredentialRequest(
                actor=internal.Actor(anonymous=True), username=user, password=password
            )
            reply = internal.MutationReply().parse(await create(bytes(request), timeout=30))
            if reply.outcome is not internal.MutationOutcome.APPLIED:
                raise AssertionError(f"{user} was not created: {reply.outcome}")


class Phases:
    """Measures one phase after the other, and compares with the first."""

    def __init__(self, report: Report, pid: int, address: str, seconds: float) -> None:
        self._report = report
        self._pid = pid
        self._address = address
        self._seconds = seconds

    async def quiet(self) -> None:
        before = cpu_seconds(self._pid)
        async with connected(self._address, "same_wrong"):
            load = await self._known_logins("quiet")
        used = cpu_seconds(self._pid) - before
        self._report.add("abuse.quiet.proxy_cpu_us", used / load.calls * 1e6)

    async def costs(self, kind: Kind) -> None:
        """What a known login and a request of the attack cost, each alone and both at once."""
        async with connected(self._address, kind):
            known, used = await self._paced_logins()
        known_us = used / known.calls * 1e6
        before = cpu_seconds(self._pid)
        async with attacked(self._address, kind, ATTACK_RATE) as attackers:
            await asyncio.sleep(self._seconds)
        attack_us = (cpu_seconds(self._pid) - before) / attackers.answers * 1e6
        before = cpu_seconds(self._pid)
        async with attacked(self._address, kind, ATTACK_RATE) as attackers:
            known, _ = await self._paced_logins()
        used = cpu_seconds(self._pid) - before
        beside_us = (used * 1e6 - attackers.answers * attack_us) / known.calls
        self._report.add(f"abuse.{kind}.alone_cpu_us", attack_us)
        self._report.add(f"abuse.{kind}.known_cpu_us", beside_us)
        self._report.add(f"abuse.{kind}.known_cpu_ratio", beside_us / known_us)

    async def _paced_logins(self) -> tuple[Load, float]:
        """Known logins at their rate, and the seconds of the proxy's processor meanwhile."""
        before = cpu_seconds(self._pid)
        load = await known_logins(self._address, self._seconds, KNOWN_RATE)
        return load, cpu_seconds(self._pid) - before

    async def under(self, kind: Kind) -> None:
        await asyncio.sleep(_PAUSE_SECONDS)
        before = cpu_seconds(self._pid)
        async with attacked(self._address, kind) as attackers:
            load = await self._known_logins(kind)
        used = cpu_seconds(self._pid) - before
        self._attack(kind, attackers)
        requests = load.calls + attackers.answers
        self._report.add(f"abuse.{kind}.proxy_cpu_us", used / requests * 1e6)

    async def newcomers(self, users: list[str]) -> None:
        """Right first logins of many users while one user is attacked from elsewhere."""
        await asyncio.sleep(_PAUSE_SECONDS)
        alone = [ms for user in users[:_ALONE] for ms in await first_logins(self._address, [user])]
        self._report.add("abuse.first_logins.alone_ms", statistics.median(alone))
        async with attacked(self._address, "new_wrong") as attackers:
            _, taken = await asyncio.gather(
                self._known_logins("first_logins"), first_logins(self._address, users[_ALONE:])
            )
        self._attack("first_logins", attackers)
        ordered = sorted(taken)
        # What those who arrive together owe each other, with one thread of bcrypt.
        owed = statistics.median(alone) * FIRST_LOGINS_AT_A_TIME
        self._report.add("abuse.first_logins.users", len(ordered))
        self._report.add("abuse.first_logins.p50_ms", ordered[len(ordered) // 2])
        self._report.add("abuse.first_logins.worst_first_login_ms", ordered[-1])
        self._report.add("abuse.first_logins.worst_over_owed_ms", ordered[-1] - owed)

    async def _known_logins(self, phase: str) -> Load:
        parts = {"proxy": self._pid, "load": os.getpid()}
        before = {part: waited_seconds(pid) for part, pid in parts.items()}
        load = await known_logins(self._address, self._seconds)
        for part, pid in parts.items():
            waited = (waited_seconds(pid) - before[part]) / load.seconds
            self._report.add(f"abuse.{phase}.{part}_waited_ratio", waited)
        self._add(phase, load)
        return load

    def _add(self, phase: str, load: Load) -> None:
        p99 = load.percentile_ms(99)
        self._report.add(f"abuse.{phase}.known_rps", load.per_second)
        self._report.add(f"abuse.{phase}.known_p99_ms", p99)
        quiet = self._report.figures["abuse.quiet.known_p99_ms"]
        self._report.add(f"abuse.{phase}.known_p99_ratio", p99 / quiet)

    def _attack(self, phase: str, attackers: Attackers) -> None:
        self._report.add(f"abuse.{phase}.attack_answers", attackers.answers)
        limited = attackers.statuses.get(_EXHAUSTED, 0)
        self._report.add(f"abuse.{phase}.attack_limited", limited)
        if phase != "same_wrong":
            judged = attackers.statuses.get(_UNAUTHENTICATED, 0)
            self._report.add(f"abuse.{phase}.attack_judged", judged)


async def run(report: Report, *, seconds: float = SECONDS, first: int = FIRST_LOGINS) -> None:
    async with echo_backend() as backend:
        await _run(report, f"127.0.0.1:{backend.port}", seconds=seconds, first=first)


async def _run(report: Report, backend: str, *, seconds: float, first: int) -> None:
    users = [f"user{number:05}" for number in range(first)]
    with tempfile.TemporaryDirectory() as folder:
        audit_log = Path(folder) / "audit.log"
        settings = {
            "backend": {"address": backend},
            "proxy": {"maxUserNum": first + 10},
            "cache": {"ttl": 3600},
            "audit": {"output": str(audit_log)},
        }
        with children_on(LOAD_CORE):
            running = etcd_and_root_coord(Path(folder) / "data", **settings)
            async with running as stack:
                await create_users(stack, ["victim", *users])
                proxy = stack.proxies[0]
                with children_on(SERVER_CORE):
                    await proxy.start()
                await proxy.wait_ready()
                phases = Phases(report, proxy.pid, proxy.address, seconds)
                await phases.quiet()
                await phases.costs("same_wrong")
                for kind in ("same_wrong", "new_wrong", "unknown_names"):
                    await phases.under(kind)
                await phases.newcomers(users)
        report.add("abuse.audit_kib", audit_log.stat().st_size / 1024)
