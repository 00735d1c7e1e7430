"""What roles cost of a relayed call, and of a proxy's first one. Keys `rbac.*`."""

import base64
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc

from deploy.local.ports import LOOPBACK
from tests.bench.load import login
from tests.bench.peers.programs import echo_backend
from tests.bench.peers.vecguard import Proxies
from tests.bench.rbac.requests import INSERT_PATH, SEARCH_PATH, insert_beginning, search_request
from tests.bench.rbac.store import PASSWORD, READER, STRANGER, fill
from tests.bench.report import Report
from tests.bench.rounds import Load, Rounds, Target, jobs, load_generator
from vecguard.usernames import ROOT

_ROUNDS = 9
_LARGE_ROUNDS, _LARGE_SECONDS, _LARGE_BYTES = 6, 1.5, 2**24
_STARTS = 3
# A method that needs no role.
_OPEN_PATH = SEARCH_PATH.replace("Search", "GetVersion")


async def run(report: Report, *, compiled: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            backend = await stack.enter_async_context(echo_backend())
            proxies = await stack.enter_async_context(
                Proxies(Path(folder), backend.port, compiled, fill=fill)
            )
            await _policy_load(report, proxies)
            load = await stack.enter_async_context(load_generator())
            plain = await proxies.start("rbac")
            await _cost(report, load, plain)
            await _large(report, load, plain)
            if proxies.has_compiled:
                await _cost(report, load, await proxies.start("rbac.compiled", compiled=True))


async def _policy_load(report: Report, proxies: Proxies) -> None:
    """The first call of a proxy that has just started: of a user with roles, and without."""
    seconds: dict[str, list[float]] = {READER: [], STRANGER: []}
    for number in range(_STARTS):
        for user, path in ((READER, SEARCH_PATH), (STRANGER, _OPEN_PATH)):
            async with proxies.running(f"{user}{number}") as proxy:
                seconds[user].append(await _first_call(proxy, user, path))
    reader, stranger = map(statistics.median, seconds.values())
    report.add("rbac.first_call_ms", reader * 1000)
    report.add("rbac.policy_load_ms", (reader - stranger) * 1000)


async def _first_call(proxy: Target, user: str, path: str) -> float:
    async with grpc.aio.insecure_channel(f"{LOOPBACK}:{proxy.port}") as channel:
        await channel.channel_ready()
        begin = time.perf_counter()
        await channel.unary_unary(path)(
            search_request(), metadata=login(user, PASSWORD), timeout=60
        )
        return time.perf_counter() - begin


async def _cost(report: Report, load: Load, proxy: Target) -> None:
    search = search_request().hex()
    found = await _compare(
        load, proxy, _ROUNDS, kind="calls", path=SEARCH_PATH, request=search, expected=search
    )
    report.add(f"{proxy.name}.cost_ratio", found.ratio(READER, ROOT, "rps"))
    report.add(
        f"{proxy.name}.cost_cpu_us", found.median(READER, "cpu_us") - found.median(ROOT, "cpu_us")
    )


async def _large(report: Report, load: Load, proxy: Target) -> None:
    found = await _compare(
        load,
        proxy,
        _LARGE_ROUNDS,
        kind="unary",
        path=INSERT_PATH,
        connections=1,
        message_bytes=_LARGE_BYTES,
        request=insert_beginning(_LARGE_BYTES).hex(),
        seconds=_LARGE_SECONDS,
    )
    report.add("rbac.large_ratio", found.ratio(READER, ROOT, "mib_per_second"))


async def _compare(load: Load, proxy: Target, rounds: int, **options: Any) -> Rounds:
    """The reader's calls and root's, by turns."""
    targets = [replace(proxy, name=READER), replace(proxy, name=ROOT)]
    work = jobs(targets, **options)
    for user in (READER, ROOT):
        secret = base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
        work[user] = replace(work[user], authorization=secret)
    return await load.compare(targets, work, rounds=rounds)
