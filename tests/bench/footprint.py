"""How fast root coord and proxy start, and what memory they hold: idle, and with many users.

The users log in once each, so the proxy knows all of their logins.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import grpc

from deploy.local.ports import Ports
from deploy.local.process import Process
from deploy.local.stack import LocalStack
from tests.bench.direct import HEALTH
from tests.bench.load import login
from tests.bench.processes import resident_bytes
from tests.bench.report import Report
from vecguard.etcd import EtcdClient, Put
from vecguard.milvus_layout import Keys, Record
from vecguard.passwords import hash_password
from vecguard.secret import Secret

USERS = 10_000
STARTS = 3

_COST = 4
_PASSWORD = "password"
_AT_A_TIME = 32
#: etcd takes 128 operations in a transaction.
_PUTS = 100
_MIB = 2**20
_SETTINGS = {
    "log": {"level": "warn"},
    "proxy": {"maxUserNum": 2 * USERS},
    # What a hash costs is not the question, and another cost would be replaced at login.
    "authentication": {"bcryptCost": _COST},
}


async def run(report: Report) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stack = LocalStack(Path(folder), ports=Ports.free(proxies=1), settings_overrides=_SETTINGS)
        async with stack:
            services = {"root_coord": stack.root_coord, "proxy": stack.proxies[0]}
            for name, process in services.items():
                report.add(f"{name}.start_ms", await _start_ms(process))
            await _log_in(stack.proxies[0].address, [("root", "Milvus")])
            _add_memory(report, services, "rss_mib")
            for process in reversed(services.values()):
                await process.stop()
            await _import_users(f"127.0.0.1:{stack.ports.etcd}")
            for process in services.values():
                await process.start()
                await process.wait_ready()
            everybody = ((_name(number), _PASSWORD) for number in range(USERS))
            await _log_in(stack.proxies[0].address, everybody)
            _add_memory(report, services, f"users_{USERS}.rss_mib")


async def _start_ms(process: Process) -> float:
    """From the start of the process to ready, the interpreter's own start included."""
    took = []
    for _ in range(STARTS):
        await process.stop()
        begin = time.perf_counter()
        await process.start()
        await process.wait_ready()
        took.append(time.perf_counter() - begin)
    return statistics.median(took) * 1000


def _add_memory(report: Report, services: dict[str, Process], figure: str) -> None:
    for name, process in services.items():
        report.add(f"{name}.{figure}", resident_bytes(process.pid) / _MIB)


async def _import_users(endpoint: str) -> None:
    """Puts users where a Milvus that was here before would have left them."""
    value = Record.new(hash_password(Secret(_PASSWORD), _COST), "").encode()
    keys = [Keys.of("by-dev", "meta").user(_name(number)).encode() for number in range(USERS)]
    async with EtcdClient([endpoint]) as client:
        for begin in range(0, USERS, _PUTS):
            await client.txn([], [Put(key, value) for key in keys[begin : begin + _PUTS]])


async def _log_in(address: str, logins: Iterable[tuple[str, str]]) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(HEALTH)

        async def once(pair: tuple[str, str]) -> None:
            await call(b"", metadata=login(*pair), timeout=60)

        await _all(once, logins)


async def _all(act: Callable[..., Awaitable[None]], arguments: Iterable[object]) -> None:
    """One call for each argument, so many at a time."""
    rest = iter(arguments)

    async def worker() -> None:
        for argument in rest:
            await act(argument)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_AT_A_TIME):
            tasks.create_task(worker())


def _name(number: int) -> str:
    return f"user_{number}"
