"""A whole Vecguard of real processes on loopback, every part of which can be hurt."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from deploy.local import configuration
from deploy.local.errors import LocalStackError
from deploy.local.ports import LOOPBACK
from deploy.local.process import Process, Program
from deploy.local.readiness import http_ok, speaks_http2
from deploy.local.stack import CHECKOUT
from tests.chaos import failpoints, seeded
from tests.chaos.failpoints import FailpointDirectory
from tests.chaos.network import Link
from tests.e2e.stacks import clean_environment
from tests.support.etcd import (
    EtcdProcess,
    Ports,
    recommended_etcd,
    running_cluster,
    running_etcd,
)
from vecguard.etcd import EtcdClient

PYTHON = CHECKOUT / ".venv" / "bin" / "python"
_POLL_SECONDS = 0.05

#: Short, so that a short run sees much.
SHORT_TIMINGS: Mapping[str, Any] = {
    "lease": {"ttl": 3, "renewInterval": 0.3},
    "election": {"ttl": 2},
}
#: How much of a lease is given up because clocks differ. Those of this machine do not, so
#: the promise must hold without any margin, and with one that leaves little of a lease.
CLOCK_MARGINS: Mapping[str, Mapping[str, float]] = {
    "default": {},
    "zero": {"ratio": 0, "fixed": 0},
    "large": {"ratio": 0.25, "fixed": 0.5},
}
_SETTINGS: Mapping[str, Any] = {
    # All clients share one address, and most of what they try is wrong on purpose.
    "authentication": {"bcryptCost": 4, "verifierThreads": 1, "loginLimits": {"enabled": False}},
    "cache": {"ttl": 60},
    "etcd": {"requestTimeout": 1500},
    "log": {"format": "text", "level": "info"},
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to start.

    Attributes:
        members: of etcd, 1 or 3.
        margin: which of the CLOCK_MARGINS.
        bug: the seeded one, "" for none.
    """

    proxies: int = 3
    root_coords: int = 2
    members: int = 1
    timings: Mapping[str, Any] = field(default_factory=lambda: SHORT_TIMINGS)
    margin: str = "default"
    bug: str = ""

    @property
    def protocol(self) -> Mapping[str, Any]:
        """The timings and the margin, as settings."""
        lease = {**self.timings["lease"], "clockMargin": CLOCK_MARGINS[self.margin]}
        return {**self.timings, "lease": lease}


class Service(Process):
    """One of ours."""

    def ask_for_tasks(self) -> None:
        """It prints to its log where each of its tasks waits."""
        os.kill(self.pid, signal.SIGUSR1)


class RootCoord(Service):
    """A root coord, with its failpoints."""

    def __init__(
        self, program: Program, logs: "Logs", port: int, failpoint_directory: FailpointDirectory
    ) -> None:
        super().__init__(program, logs)
        self.port = port
        self.failpoints = failpoint_directory


class Proxy(Service):
    """A proxy, and its links to each root coord."""

    def __init__(self, program: Program, logs: "Logs", port: int, links: list[Link]) -> None:
        super().__init__(program, logs)
        self.address = f"{LOOPBACK}:{port}"
        self.links = links


class Logs:
    """One file for each process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = ExitStack()
        self._files: dict[str, IO[str]] = {}

    def __call__(self, name: str, line: str) -> None:
        if name not in self._files:
            path = self._folder / f"{name}.log"
            self._files[name] = self._open.enter_context(path.open("a", buffering=1))
        self._files[name].write(line + "\n")

    def close(self) -> None:
        self._open.close()


@dataclass(frozen=True)
class Deployment:
    """All parts. `etcd` is a client without faults, for reading and for external changes."""

    plan: Plan
    members: tuple[EtcdProcess, ...]
    root_coords: tuple[RootCoord, ...]
    proxies: tuple[Proxy, ...]
    etcd: EtcdClient

    @property
    def lease_seconds(self) -> float:
        return self.plan.timings["lease"]["ttl"]

    @property
    def election_seconds(self) -> float:
        return self.plan.timings["election"]["ttl"]

    async def active(self, timeout_seconds: float = 30.0) -> RootCoord:
        """The active root coord, once there is one."""
        async with asyncio.timeout(timeout_seconds):
            while True:
                answers = await asyncio.gather(
                    *(each.program.ready() for each in self.root_coords if each.running)
                )
                running = [each for each in self.root_coords if each.running]
                for ready, each in zip(answers, running, strict=False):
                    if ready:
                        return each
                await asyncio.sleep(_POLL_SECONDS)

    async def active_other_than(self, former: RootCoord) -> RootCoord:
        """The active root coord, once it is another one."""
        async with asyncio.timeout(30):
            while True:
                active = await self.active()
                if active is not former:
                    return active
                await asyncio.sleep(_POLL_SECONDS)

    async def kill(self, process: Process) -> None:
        """kill -9, and waits for its end."""
        process.kill()
        await process.wait()

    async def start_again(self, process: Process) -> None:
        """Starts a process that has ended; a proxy is waited for."""
        await process.stop()
        await process.start()
        if isinstance(process, Proxy):
            await process.wait_ready()


@asynccontextmanager
async def deployment(folder: Path, plan: Plan) -> AsyncIterator[Deployment]:
    """Everything started and ready; everything stopped afterwards."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        logs = Logs(folder)
        stack.callback(logs.close)
        members = await asyncio.to_thread(stack.enter_context, _etcd(folder, plan))
        client = await stack.enter_async_context(
            EtcdClient([member.endpoint for member in members], request_timeout_seconds=8)
        )
        backend = Ports.free().client
        echo = _echo(backend, logs)
        root_coords = [_root_coord(folder, plan, members, logs, n) for n in range(plan.root_coords)]
        proxies = []
        for number in range(plan.proxies):
            links = [
                await stack.enter_async_context(Link(root_coord.port)) for root_coord in root_coords
            ]
            proxies.append(_proxy(folder, plan, number, links=links, backend=backend, logs=logs))
        made = Deployment(plan, tuple(members), tuple(root_coords), tuple(proxies), client)
        for process in (echo, *root_coords, *proxies):
            stack.push_async_callback(partial(_stop, process))
        await echo.start()
        # The first one first, so that a run begins with a known active one.
        for process in root_coords:
            await process.start()
            await made.active()
        for process in proxies:
            await process.start()
        for process in (echo, *proxies):
            await process.wait_ready()
        yield made


async def _stop(process: Process) -> None:
    # Whatever state it is in, and however many connections are open.
    with suppress(LocalStackError):  # it was never started
        process.resume()
        process.kill()
    await process.stop()


@contextmanager
def _etcd(folder: Path, plan: Plan) -> Iterator[tuple[EtcdProcess, ...]]:
    # PyPI's etcd crashes when a client gives up a read while etcd continues after a pause (etcd
    # issue 14110).
    program = recommended_etcd()
    if plan.members == 1:
        with running_etcd(folder / "etcd", program=program) as process:
            yield (process,)
    else:
        with running_cluster(folder / "etcd", program=program) as cluster:
            yield cluster.members


def _echo(port: int, logs: Logs) -> Process:
    return Process(
        Program(
            name="echo",
            argv=(str(PYTHON), "-m", "tests.bench.echo", str(port)),
            environment=_environment(),
            directory=CHECKOUT,
            ready=speaks_http2(port),
        ),
        logs,
    )


def _root_coord(
    folder: Path, plan: Plan, members: tuple[EtcdProcess, ...], logs: Logs, number: int
) -> RootCoord:
    name, ports = f"root-coord-{number + 1}", Ports.free()
    directory = folder / "failpoints" / name
    own = {
        "etcd": {"endpoints": [member.endpoint for member in members]},
        "rootCoord": {
            "ip": LOOPBACK,
            "port": ports.client,
            "drainTimeout": 2,
            "operations": {"ip": LOOPBACK, "port": ports.health},
        },
    }
    program = _service(
        folder,
        name,
        "tests.chaos.root_coord",
        settings=own,
        plan=plan,
        operations=ports.health,
        environment={failpoints.VARIABLE: str(directory)},
    )
    return RootCoord(program, logs, ports.client, FailpointDirectory(directory))


def _proxy(
    folder: Path, plan: Plan, number: int, *, links: list[Link], backend: int, logs: Logs
) -> Proxy:
    name, ports = f"proxy-{number + 1}", Ports.free()
    own = {
        "proxy": {
            "ip": LOOPBACK,
            "port": ports.client,
            "drainTimeout": 2,
            "operations": {"ip": LOOPBACK, "port": ports.health},
        },
        "rootCoord": {"addresses": [f"{LOOPBACK}:{link.port}" for link in links]},
        "backend": {"address": f"{LOOPBACK}:{backend}"},
    }
    program = _service(
        folder, name, "tests.chaos.proxy", settings=own, plan=plan, operations=ports.health
    )
    return Proxy(program, logs, ports.client, links)


def _service(
    folder: Path,
    name: str,
    module: str,
    *,
    settings: Mapping[str, Any],
    plan: Plan,
    operations: int,
    environment: Mapping[str, str] | None = None,
) -> Program:
    path = folder / f"{name}.yaml"
    configuration.write(path, _SETTINGS, plan.protocol, settings)
    return Program(
        name=name,
        argv=(str(PYTHON), "-m", module, "--config", str(path)),
        environment=_environment() | (environment or {}) | {seeded.VARIABLE: plan.bug},
        directory=CHECKOUT,
        ready=http_ok(operations, "/readyz"),
        start_seconds=60,
        stop_seconds=10,
    )


def _environment() -> dict[str, str]:
    return clean_environment() | {"PYTHONUNBUFFERED": "1"}
