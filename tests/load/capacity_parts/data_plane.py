"""Processor time of a proxy for a known login, and of a bcrypt."""

import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from tests.bench.peers.programs import echo_backend
from tests.bench.peers.vecguard import COMPILED, Proxies
from tests.bench.relay import calls
from tests.bench.report import Report
from tests.bench.rounds import load_generator
from vecguard.config.authentication import AuthenticationSettings
from vecguard.passwords import hash_password
from vecguard.secret import Secret

_ROUNDS = 5
_HASHES = 8


async def run(report: Report) -> None:
    _bcrypt(report)
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            backend = await stack.enter_async_context(echo_backend())
            proxies = await stack.enter_async_context(Proxies(Path(folder), backend.port, COMPILED))
            load = await stack.enter_async_context(load_generator())
            target = await proxies.start("relay")
            job = calls([target])[target.name]
            await load.sample(target, replace(job, seconds=0.5))
            samples = [await load.sample(target, job) for _ in range(_ROUNDS)]
            report.add("proxy.call.cpu_us", statistics.median(each.cpu_us for each in samples))


def _bcrypt(report: Report) -> None:
    """Hashing and checking cost the same."""
    cost = AuthenticationSettings().bcrypt_cost
    begin = time.process_time()
    for _ in range(_HASHES):
        hash_password(Secret("a good password"), cost)
    report.add("bcrypt.cpu_ms", (time.process_time() - begin) / _HASHES * 1000)
