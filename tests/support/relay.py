"""The real relay in front of any port, in this process or in its own."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

from tests.support.echo_backend import UNLIMITED
from tests.support.relay_parts import RelayParts, own_tasks
from tests.support.waiting import eventually
from vecguard.addresses import Address
from vecguard.proxy.relay.upstreams.upstream import Connector, over_tcp

_ROOT = Path(__file__).parents[2]


class Relay(RelayParts):
    """Accepts connections at a port of this machine, and connects to another one."""

    @property
    def port(self) -> int:
        return self.listener.port

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def idle(self, timeout_seconds: float = 5.0) -> None:
        """Returns when no call is open, on either side."""

        async def no_call_is_open() -> bool:
            return not self.open_calls and not any(
                link.connection.streams for link in self.upstream.links
            )

        await eventually(no_call_is_open, timeout_seconds)


@asynccontextmanager
async def relaying(
    backend_port: int,
    *,
    connect: Connector | None = None,
    connect_timeout_seconds: float = 10.0,
    tls: ssl.SSLContext | None = None,
    **parts,
) -> AsyncIterator[Relay]:
    """Yields a relay, which must leave nothing behind after its drain.

    `parts` are arguments of `RelayParts`.
    """
    backend = Address("127.0.0.1", backend_port)
    connect = connect or over_tcp(backend, timeout_seconds=connect_timeout_seconds)
    relay = Relay(str(backend), connect, **parts)
    relay.listener.start(Address("127.0.0.1", 0), tls=tls)
    try:
        yield relay
    finally:
        async with asyncio.timeout(20.0):
            await relay.listener.drain(0.0)
        relay.upstream.close()
        await nothing_is_left(relay)


async def nothing_is_left(relay: Relay) -> None:
    """Fails if a call, a stream, a connection or a task is left."""
    await relay.idle()

    async def no_client_is_connected() -> bool:
        return not relay.listener.connections

    await eventually(no_client_is_connected)

    async def no_task_of_ours_runs() -> bool:
        return not own_tasks()

    await eventually(no_task_of_ours_runs)


def channel(target: str, *options: tuple[str, object], **arguments) -> grpc.aio.Channel:
    """Returns a grpcio channel with its own connection and without retries."""
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
        """The resident memory."""
        return self._status("VmRSS")

    def peak_memory_bytes(self) -> int:
        """The peak of the resident memory."""
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
