"""A stack of our own for a load that is given no target."""

import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from deploy.local.configuration import laid_over
from deploy.local.ports import LOOPBACK, Ports, free_ports
from deploy.local.process import Process, Program
from deploy.local.readiness import speaks_http2
from deploy.local.stack import CHECKOUT, LocalStack
from tests.e2e.stacks import clean_environment
from tests.load.target import Account
from vecguard.secret import Secret

ROOT = Account("root", Secret("Milvus"))

_SETTINGS: dict[str, Any] = {
    "log": {"level": "warn"},
    # One for each first login that is to be measured.
    "proxy": {"maxUserNum": 100_000},
}
#: All of the load has one address, so the limits would measure themselves.
_UNLIMITED = {"authentication": {"loginLimits": {"enabled": False}}}


@asynccontextmanager
async def local_stack(*, proxies: int, limits: bool, milvus: bool) -> AsyncIterator[LocalStack]:
    """etcd, root coord and proxies, with data that is thrown away.

    Args:
        proxies: how many.
        limits: whether failed logins are limited, as they are by default elsewhere.
        milvus: whether calls go to Milvus Lite. Otherwise something answers that costs next to
            nothing, so that what is measured is the way there.
    """
    settings = _SETTINGS if limits else laid_over(_SETTINGS, _UNLIMITED)
    async with echo_backend() as address:
        if not milvus:
            settings = laid_over(settings, {"backend": {"address": address}})
        with tempfile.TemporaryDirectory(prefix="vecguard-load-") as folder:
            stack = LocalStack(
                Path(folder),
                ports=Ports.free(proxies=proxies),
                settings_overrides=settings,
                environment=clean_environment(),
            )
            async with stack:
                yield stack


@asynccontextmanager
async def echo_backend() -> AsyncIterator[str]:
    """The benchmarks' backend, which answers a request with itself; gives its address."""
    (port,) = free_ports(1)
    program = Program(
        name="echo",
        argv=(sys.executable, "-m", "tests.bench.wire.echo", str(port)),
        environment=clean_environment(),
        directory=CHECKOUT,
        ready=speaks_http2(port),
    )
    process = Process(program, lambda _name, _line: None)
    try:
        await process.start()
        await process.wait_ready()
        yield f"{LOOPBACK}:{port}"
    finally:
        await process.stop()
