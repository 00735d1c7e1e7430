"""Servers of a benchmark as supervised processes on a core of their own."""

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local.ports import free_ports
from deploy.local.process import Process, Program
from deploy.local.readiness import Probe, speaks_http2
from deploy.local.stack import CHECKOUT
from tests.bench.processes import LOAD_CORE, SERVER_CORE, children_on, many_descriptors
from tests.bench.rounds import Target


@asynccontextmanager
async def running(
    name: str,
    argv: tuple[str, ...],
    ready: Probe,
    *,
    core: int = SERVER_CORE,
    environment: Mapping[str, str] | None = None,
    directory: Path = CHECKOUT,
    start_seconds: float = 60.0,
) -> AsyncIterator[Process]:
    """Raises LocalStackError when it does not become ready, with its last lines."""
    program = Program(
        name=name,
        argv=argv,
        environment={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        directory=directory,
        ready=ready,
        start_seconds=start_seconds,
    )
    process = Process(program, lambda _name, _line: None)
    try:
        with children_on(core), many_descriptors():
            await process.start()
        await process.wait_ready()
        yield process
    finally:
        await process.stop()


@asynccontextmanager
async def echo_backend() -> AsyncIterator[Target]:
    """What all relays of a run forward to; it answers a request with itself."""
    (port,) = free_ports(1)
    argv = (sys.executable, "-m", "tests.bench.wire.echo", str(port))
    async with running("echo", argv, speaks_http2(port), core=LOAD_CORE) as process:
        yield Target("direct", port, process.pid)


@asynccontextmanager
async def grpclib_relay(backend_port: int) -> AsyncIterator[Target]:
    """The old relay."""
    (port,) = free_ports(1)
    argv = (sys.executable, "-m", "tests.bench.grpclib_relay", str(port), str(backend_port))
    async with running("grpclib", argv, speaks_http2(port)) as process:
        yield Target("grpclib", port, process.pid)
