import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
import pytest_asyncio

from deploy.local.stack import LocalStack, ProxyProcess
from tests.e2e.stacks import running_stack
from tests.support.credentials import encoded, header_of
from tests.support.echo_backend import EchoBackend, echo_backend
from tests.support.waiting import eventually
from tests.support.worker_processes import children, listening, served_by
from vecguard.generated.milvus.proto import milvus as pb

WORKERS = 3
ROOT = ("root", "Milvus")
_SECONDS = 20.0

# /proc tells who serves whom, and only Linux spreads connections by SO_REUSEPORT.
collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]


@dataclass
class Client:
    """A client with one connection of its own."""

    channel: grpc.aio.Channel
    worker: int = 0

    async def call(self, method: str, payload: bytes, login: tuple[str, str] = ROOT) -> bytes:
        return await self.started(method, payload, login)

    def started(self, method: str, payload: bytes, login: tuple[str, str] = ROOT):
        return self.channel.unary_unary(method)(
            payload,
            metadata=[("authorization", header_of(*login).decode())],
            timeout=_SECONDS,
            wait_for_ready=True,
        )

    async def code(self, login: tuple[str, str]) -> grpc.StatusCode:
        """How a call with this login ends."""
        try:
            await self.call("/test.Echo/Unary", b"", login)
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    async def create_user(self, username: str, password: str) -> None:
        request = pb.CreateCredentialRequest(username=username, password=encoded(password))
        await self._change("CreateCredential", bytes(request))

    async def change_password(self, username: str, old: str, new: str) -> None:
        request = pb.UpdateCredentialRequest(
            username=username, old_password=encoded(old), new_password=encoded(new)
        )
        await self._change("UpdateCredential", bytes(request))

    async def _change(self, method: str, request: bytes) -> None:
        answer = await self.call(f"/milvus.proto.milvus.MilvusService/{method}", request)
        assert answer == b"", answer


@dataclass
class Workers:
    """A stack whose proxy has several workers, in front of an echo backend."""

    stack: LocalStack
    backend: EchoBackend
    _opened: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def proxy(self) -> ProxyProcess:
        return self.stack.proxies[0]

    @property
    def port(self) -> int:
        return int(self.proxy.address.rpartition(":")[2])

    @property
    def pids(self) -> list[int]:
        return listening(self.proxy.pid, self.port)

    @property
    def all_pids(self) -> list[int]:
        """The workers and the process that serves the operations port."""
        return children(self.proxy.pid)

    async def ask(self, path: str) -> tuple[int, str]:
        """What the operations port answers: status and body."""
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"http://{self.proxy.operations_address}{path}") as answer,
        ):
            return answer.status, await answer.text()

    async def ready(self) -> bool:
        return (await self.ask("/readyz"))[0] == 200 and len(self.pids) == WORKERS

    async def connect(self) -> Client:
        """A client, once one of the workers has accepted it."""
        before = {pid: served_by(pid, self.port) for pid in self.pids}
        channel = grpc.aio.insecure_channel(
            self.proxy.address,
            options=[
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.enable_http_proxy", 0),
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.min_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 500),
            ],
        )
        await self._opened.enter_async_context(channel)
        client = Client(channel)
        await client.call("/test.Echo/Unary", b"hello")
        (client.worker,) = [
            pid for pid, ports in before.items() if served_by(pid, self.port) - ports
        ]
        return client

    async def one_client_each(self) -> list[Client]:
        """A client of each worker."""
        found: dict[int, Client] = {}
        for _ in range(100):
            client = await self.connect()
            found.setdefault(client.worker, client)
            if len(found) == WORKERS:
                return list(found.values())
        raise AssertionError(f"100 connections went to {len(found)} of {WORKERS} workers")

    async def disconnect(self) -> None:
        await self._opened.aclose()


@asynccontextmanager
async def _running(data_dir: Path, more: dict[str, Any]) -> AsyncIterator[Workers]:
    async with echo_backend() as backend:
        settings = more | {
            "backend": {"address": f"127.0.0.1:{backend.port}"},
            "proxy": {"workers": WORKERS, "drainTimeout": 15},
        }
        async with running_stack(data_dir, settings=settings) as stack:
            yield Workers(stack, backend)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_workers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Workers]:
    async with _running(tmp_path_factory.mktemp("workers"), {}) as workers:
        yield workers


@pytest.fixture
def start_workers(tmp_path: Path) -> Callable[[dict[str, Any]], AbstractAsyncContextManager]:
    """Starts a separate stack with these settings in addition."""
    return lambda settings: _running(tmp_path / "stack", settings)


@pytest_asyncio.fixture(loop_scope="module")
async def workers(shared_workers: Workers) -> AsyncIterator[Workers]:
    """The stack with all workers ready, whatever a test before did to them."""
    if not shared_workers.proxy.running:
        await shared_workers.proxy.restart()
    await eventually(shared_workers.ready)
    shared_workers.backend.calls.clear()
    shared_workers.backend.gate.clear()
    yield shared_workers
    await shared_workers.disconnect()
