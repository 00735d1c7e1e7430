"""etcd, root coord and a proxy as real processes, without a backend, and all they say."""

import asyncio
import base64
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from deploy.local.configuration import laid_over
from deploy.local.ports import Ports
from deploy.local.stack import LocalStack
from tests.e2e.stacks import CHEAP_PASSWORDS, clean_environment
from tests.support.raw_http2 import Peer
from vecguard.generated.milvus.proto import common

HEALTH = "/grpc.health.v1.Health/Check"
_SERVICE = "/milvus.proto.milvus.MilvusService/"


def authorization(username: str, password: str) -> bytes:
    return base64.b64encode(f"{username}:{password}".encode())


@dataclass
class Answer:
    """What a call came to, with everything that the client got to see of it."""

    status: grpc.StatusCode
    text: str
    trailers: dict[str, Any]
    body: bytes = b""

    @property
    def everything(self) -> str:
        return f"{self.status} {self.text} {self.trailers} {self.body!r}"

    @property
    def code(self) -> int:
        """Milvus's code in the reply."""
        return common.Status().parse(self.body).code


@dataclass
class Deployment:
    """The processes and their output.

    Attributes:
        lines: (process, line) of all output so far.
        answers: every answer that clients got.
    """

    folder: Path
    stack: LocalStack
    lines: list[tuple[str, str]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    @property
    def address(self) -> str:
        return self.stack.proxies[0].address

    @property
    def audit_file(self) -> Path:
        return self.folder / "audit.log"

    @asynccontextmanager
    async def client(self) -> AsyncIterator["Client"]:
        """Connections of its own."""
        port = self.address.rpartition(":")[2]
        async with grpc.aio.insecure_channel(
            f"ipv4:127.0.0.1:{port}",
            options=(("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)),
        ) as channel:
            yield Client(self, channel)

    @asynccontextmanager
    async def peer_from(self, source: str) -> AsyncIterator[Peer]:
        """A raw connection from an address of 127.0.0.0/8."""
        host, _, port = self.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), local_addr=(source, 0))
        peer = Peer(reader, writer, client_side=True)
        try:
            yield peer
        finally:
            await peer.close()

    async def page(self, path: str) -> str:
        """What both operations ports show there, whatever the status."""
        addresses = [
            each.operations_address for each in (*self.stack.proxies, *self.stack.root_coords)
        ]
        return "\n".join(
            [await asyncio.to_thread(_read, f"http://{each}{path}") for each in addresses]
        )


class Client:
    """Calls by name, each with its own authorization values."""

    def __init__(self, deployment: Deployment, channel: grpc.aio.Channel) -> None:
        self._deployment = deployment
        self._channel = channel

    async def health(self, *values: bytes, timeout: float = 20.0) -> Answer:
        return await self.call(HEALTH, b"", *values, timeout=timeout)

    async def account(self, name: str, request: Any, *values: bytes) -> Answer:
        body = request if isinstance(request, bytes) else bytes(request)
        return await self.call(_SERVICE + name, body, *values)

    async def call(
        self, method: str, request: bytes, *values: bytes, timeout: float = 20.0
    ) -> Answer:
        call = self._channel.unary_unary(method)(
            request,
            metadata=tuple(("authorization", value) for value in values),
            timeout=timeout,
        )
        try:
            body = await call
        except grpc.aio.AioRpcError as error:
            body = b""
            text = f"{error.details()} {error.debug_error_string()}"
            trailers = dict(error.trailing_metadata() or ())
            answer = Answer(error.code(), text, trailers)
        else:
            trailers = dict(await call.trailing_metadata() or ())
            answer = Answer(grpc.StatusCode.OK, "", trailers, body)
        self._deployment.answers.append(answer)
        return answer


def _read(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except OSError as error:
        return str(error)


@asynccontextmanager
async def running_deployment(folder: Path, settings: dict[str, Any]) -> AsyncIterator[Deployment]:
    """Everything started; the audit log is in a file beside the data."""
    lines: list[tuple[str, str]] = []
    overrides = laid_over(
        CHEAP_PASSWORDS, laid_over({"audit": {"output": str(folder / "audit.log")}}, settings)
    )
    stack = LocalStack(
        folder / "data",
        ports=Ports.free(proxies=1),
        settings_overrides=overrides,
        environment=clean_environment(),
        on_line=lambda name, line: lines.append((name, line)),
    )
    deployment = Deployment(folder, stack, lines)
    stack._prepare()
    try:
        await stack.etcd.start()
        await stack.etcd.wait_ready()
        await stack.root_coord.start()
        await stack.root_coord.wait_ready()
        await stack.proxies[0].start()
        await stack.proxies[0].wait_ready()
        yield deployment
    except BaseException as error:
        error.add_note("\n".join(f"{name} | {line}" for name, line in lines[-80:]))
        raise
    finally:
        await stack.stop()
