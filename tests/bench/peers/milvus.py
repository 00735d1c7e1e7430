"""Milvus 2.3.5 with authorization on: PyPI's milvus (`peers` extra)."""

import asyncio
import base64
import importlib
import importlib.util
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from deploy.local.errors import LocalStackError
from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.process import Process
from deploy.local.readiness import http_ok
from tests.bench.peers.programs import running
from tests.bench.rounds import Target, idle_load

GET_VERSION = "/milvus.proto.milvus.MilvusService/GetVersion"
VERSION = "2.3.5"
LOGIN = base64.b64encode(b"root:Milvus").decode()

_ANSWER_SECONDS = 60.0
# Its coordinators talk much right after the start.
_SETTLE_SECONDS = 5.0


@dataclass(frozen=True)
class Milvus:
    """One whose load can be measured, and its answer to GetVersion."""

    target: Target
    answer: bytes


@dataclass(frozen=True)
class Server:
    """A running one, its port, and its answer to GetVersion."""

    process: Process
    port: int
    answer: bytes


def is_installed() -> bool:
    """Whether the extra is there."""
    return importlib.util.find_spec("milvus") is not None


@asynccontextmanager
async def milvus(folder: Path) -> AsyncIterator[Milvus]:
    """One whose load can be measured. Raises as `milvus_server`."""
    async with milvus_server(folder) as server:
        await asyncio.sleep(_SETTLE_SECONDS)
        pid = server.process.pid
        target = Target("milvus", server.port, pid, idle_load=await idle_load(pid))
        yield Milvus(target, server.answer)


@asynccontextmanager
async def milvus_server(
    folder: Path, *, etcd: str | None = None, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Server]:
    """One that answers.

    `etcd` is the address of its store; None starts an etcd within it, with its data in the folder.
    `settings` are variables of the environment, such as PROXY_MAXROLENUM for `proxy.maxRoleNum`.

    Raises LocalStackError when it does not come up, or admits a client without a login.
    """
    port, health, configuration = await asyncio.to_thread(_install, folder, etcd)
    binaries = folder / "bin"
    environment = {
        "DEPLOY_MODE": "STANDALONE",
        "METRICS_PORT": str(health),
        "MILVUS_RUN_DIR": str(folder / "run"),
        "MILVUSCONF": str(configuration),
        "LD_LIBRARY_PATH": f"{binaries}:{os.environ.get('LD_LIBRARY_PATH', '')}",
        **(settings or {}),
    }
    argv = (str(binaries / "milvus"), "run", "standalone")
    async with running(
        *("milvus", argv, http_ok(health, "/healthz")),
        environment=environment,
        directory=folder,
        start_seconds=180.0,
    ) as process:
        yield Server(process, port, await _version(port))


def _install(folder: Path, etcd: str | None) -> tuple[int, int, Path]:
    """Unpacks it and writes its configuration; its port and that of its health."""
    package = importlib.import_module("milvus")
    package._initialize_data_files(str(folder))
    configuration = package.MilvusServerConfig(data_dir=str(folder))
    names = [name for name in configuration.configurable_items if name.endswith("_port")]
    health, *ports = free_ports(len(names) + 1)
    configuration.update(**dict(zip(names, ports, strict=True)))
    configuration.set("authorization_enabled", True)
    configuration.set("etcd_log_level", "warn")
    configuration.set("log.level", "warn")
    if etcd is not None:
        configuration.set("etcd.endpoints", etcd)
        configuration.set("etcd.use.embed", "false")
    configuration.resolve()
    return int(configuration.get("proxy_port")), health, folder / "configs"


async def _version(port: int) -> bytes:
    login = (("authorization", LOGIN),)
    async with grpc.aio.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        call = channel.unary_unary(GET_VERSION)
        answer = await _patiently(call, login)
        try:
            await call(b"", timeout=10)
        except grpc.aio.AioRpcError:
            return answer
    raise LocalStackError("Milvus answers without a login: the comparison would mean nothing")


async def _patiently(call: grpc.aio.UnaryUnaryMultiCallable, login) -> bytes:
    """Healthy comes before able to answer."""
    details: str | None = None
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            while True:
                try:
                    answer: bytes = await call(b"", metadata=login, timeout=10)
                except grpc.aio.AioRpcError as error:
                    details = error.details()
                    await asyncio.sleep(0.5)
                else:
                    break
    except TimeoutError as error:
        raise LocalStackError(f"Milvus does not answer GetVersion ({details})") from error
    if VERSION.encode() not in answer:
        raise LocalStackError(f"Milvus does not say that it is {VERSION}: {answer!r}")
    return answer
