"""The real relay, started in this process or in its own, in front of any port."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio

from tests.support.echo_backend import UNLIMITED
from tests.support.policies import bounds_with, limits_with, pool_with
from tests.support.waiting import eventually
from vecguard.addresses import Address
from vecguard.errors import VecguardError
from vecguard.proxy.http2.limits import LimitHits, Limits
from vecguard.proxy.relay.bounds import Bounds
from vecguard.proxy.relay.calls.open_calls import OpenCalls
from vecguard.proxy.relay.clients.acceptor import Acceptor
from vecguard.proxy.relay.link import Keepalive
from vecguard.proxy.relay.listener import Admission, Admitted, Client, Gatekeeper, Listener
from vecguard.proxy.relay.upstreams.header_policy import HeaderPolicy
from vecguard.proxy.relay.upstreams.pool import PoolPolicy
from vecguard.proxy.relay.upstreams.routing import Routes
from vecguard.proxy.relay.upstreams.upstream import Connector, Upstream, over_tcp

MAX_MESSAGE_BYTES = 256 * 2**20
_ROOT = Path(__file__).parents[2]


@dataclass
class ScriptedGatekeeper(Gatekeeper):
    """Admits everybody as alice unless told otherwise.

    Attributes:
        decide: what is done about a call; raises to refuse.
        seen: the authorization values of every call.
        earlier: the decision that was shown with each call.
        refused: (authorization values, address, error) of every call that was refused.
    """

    decide: Callable[[Sequence[bytes]], Awaitable[Admission]] | None = None
    seen: list[tuple[bytes, ...]] = field(default_factory=list)
    earlier: list[Admitted | None] = field(default_factory=list)
    refused: list[tuple] = field(default_factory=list)

    def admit_now(
        self, authorization: Sequence[bytes], client: Client, earlier: Admitted | None = None
    ) -> Admission | None:
        if self.decide is not None:
            return None
        self.seen.append(tuple(authorization))
        self.earlier.append(earlier)
        return Admission("alice", 7)

    async def admit(self, authorization: Sequence[bytes], client: Client) -> Admission:
        self.seen.append(tuple(authorization))
        if self.decide is None:
            return Admission("alice", 7)
        try:
            return await self.decide(authorization)
        except VecguardError as error:
            self.refused.append((tuple(authorization), client.peer_name(), error))
            raise

    def refuse(self, error: Exception) -> None:
        async def decide(authorization: Sequence[bytes]) -> Admission:
            raise error

        self.decide = decide


@dataclass
class Relay:
    listener: Listener
    active: OpenCalls
    upstream: Upstream
    gatekeeper: ScriptedGatekeeper

    @property
    def port(self) -> int:
        return self.listener.port

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def idle(self, timeout_seconds: float = 5.0) -> None:
        """Returns when no call is open, on either side."""

        async def no_call_is_open() -> bool:
            return not self.active and not any(
                link.connection.streams for link in self.upstream.links
            )

        await eventually(no_call_is_open, timeout_seconds)


@asynccontextmanager
async def relaying(
    backend_port: int,
    *,
    gatekeeper: ScriptedGatekeeper | None = None,
    policy: HeaderPolicy | None = None,
    connect: Connector | None = None,
    connect_timeout_seconds: float = 2.0,
    table: Mapping[bytes, Upstream] | None = None,
    max_request_bytes: int = MAX_MESSAGE_BYTES,
    max_answer_bytes: int = MAX_MESSAGE_BYTES,
    keepalive: Keepalive | None = None,
    pool: PoolPolicy | None = None,
    limits: Limits | None = None,
    bounds: Bounds | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Relay]:
    """A relay that must leave nothing behind when it has been drained."""
    upstream = Upstream(
        f"backend 127.0.0.1:{backend_port}",
        connect
        or over_tcp(Address("127.0.0.1", backend_port), timeout_seconds=connect_timeout_seconds),
        authority=f"127.0.0.1:{backend_port}",
        policy=policy or HeaderPolicy(),
        pool=pool or pool_with(),
        hits=(hits := LimitHits()),
        **({} if keepalive is None else {"keepalive": keepalive}),
    )
    active = OpenCalls()
    gatekeeper = gatekeeper or ScriptedGatekeeper()
    listener = Listener(
        gatekeeper,
        Routes(table={} if table is None else table, default=upstream),
        active,
        max_request_bytes=max_request_bytes,
        max_answer_bytes=max_answer_bytes,
        limits=limits or limits_with(),
        bounds=bounds or bounds_with(),
        hits=hits,
    )
    listener.start(Address("127.0.0.1", 0), tls=tls)
    relay = Relay(listener, active, upstream, gatekeeper)
    try:
        yield relay
    finally:
        async with asyncio.timeout(20.0):
            await listener.drain(0.0)
        upstream.close()
        await nothing_is_left(relay)


async def nothing_is_left(relay: Relay) -> None:
    """No call, stream, connection or task of ours."""
    await relay.idle()

    async def nobody_is_connected() -> bool:
        return not relay.listener.connections

    await eventually(nobody_is_connected, 5.0)

    async def no_task_of_ours_runs() -> bool:
        return not own_tasks()

    await eventually(no_task_of_ours_runs, 5.0)


def own_tasks() -> list[asyncio.Task]:
    """The running tasks whose code is the project's and no test's, but for the listener's."""
    own = (str(_ROOT / "services"), str(_ROOT / "shared"))
    codes = {task: getattr(task.get_coro(), "cr_code", None) for task in asyncio.all_tasks()}
    return [
        task
        for task, code in codes.items()
        if code is not None
        and code.co_filename.startswith(own)
        and code is not Acceptor._accept.__code__
    ]


def channel(target: str, *options: tuple[str, object], **arguments) -> grpc.aio.Channel:
    """A grpcio channel with a connection of its own that repeats nothing by itself."""
    return grpc.aio.insecure_channel(
        target,
        options=(
            *UNLIMITED,
            ("grpc.enable_retries", 0),
            ("grpc.use_local_subchannel_pool", 1),
            *options,
        ),
        **arguments,
    )


@dataclass
class RelayProcess:
    """A relay in its own process."""

    port: int
    pid: int

    def memory_bytes(self) -> int:
        """Resident now."""
        return self._status("VmRSS")

    def peak_memory_bytes(self) -> int:
        """The most that was ever resident."""
        return self._status("VmHWM")

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            key, _, value = line.partition(":")
            if key == name:
                return int(value.split()[0]) * 1024
        raise AssertionError(f"no {name}")


@asynccontextmanager
async def relay_process(backend_port: int) -> AsyncIterator[RelayProcess]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.relay",
        str(backend_port),
        cwd=_ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(20.0):
            assert process.stdout is not None
            line = await process.stdout.readline()
        yield RelayProcess(int(line), process.pid)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _serve(backend_port: int) -> None:
    async with relaying(backend_port) as relay:
        print(relay.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
