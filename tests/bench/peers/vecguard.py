"""Our own proxies, each with settings of its own, before one etcd and one root coord."""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deploy.local import configuration
from deploy.local.configuration import Settings
from deploy.local.errors import LocalStackError
from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.process import Process
from deploy.local.readiness import http_ok
from deploy.local.stack import CHECKOUT, LocalStack
from tests.bench.peers.programs import running
from tests.bench.rounds import Target
from tests.bench.stacks import etcd_and_root_coord
from vecguard.tls.certificate_set import SetRequest, make_set, write_files

#: Where `make compile` puts a copy of the sources with compiled modules in it.
COMPILED = CHECKOUT / "build" / "compiled"


def has_compiled(folder: Path) -> bool:
    """Whether there are compiled modules."""
    return any(folder.rglob("*.so"))


class Proxies:
    """Starts proxies on the server's core. An asynchronous context manager.

    Attributes:
        certificates: the folder with what `tls` proxies show to clients.
        has_compiled: whether there are compiled modules to measure.
    """

    def __init__(
        self,
        folder: Path,
        backend_port: int,
        compiled: Path,
        *,
        fill: Callable[[LocalStack], Awaitable[None]] | None = None,
    ) -> None:
        """`fill` may write into etcd before root coord starts."""
        self.certificates = folder / "certs"
        self.has_compiled = has_compiled(compiled)
        self._folder, self._backend_port, self._compiled = folder, backend_port, compiled
        self._fill = fill
        self._resources = AsyncExitStack()
        self._root_coord = ""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as resources:
            stack = await resources.enter_async_context(
                etcd_and_root_coord(self._folder / "stack", fill=self._fill)
            )
            self._root_coord = stack.root_coord.address
            write_files(self.certificates, make_set(SetRequest(), datetime.now(UTC)))
            self._resources = resources.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._resources.aclose()

    async def start(
        self, name: str, *, is_open: bool = False, tls: bool = False, compiled: bool = False
    ) -> Target:
        """Starts one more.

        Args:
            name: of the target.
            is_open: authorization is off.
            tls: clients must speak TLS.
            compiled: with the compiled modules.
        """
        return await self._resources.enter_async_context(
            self._running(name, self._settings(is_open=is_open, tls=tls), compiled=compiled)
        )

    @asynccontextmanager
    async def running(self, name: str) -> AsyncIterator[Target]:
        """Runs one more for a while."""
        async with self._running(name, self._settings(), compiled=False) as target:
            yield target

    @asynccontextmanager
    async def _running(
        self, name: str, settings: Settings, *, compiled: bool
    ) -> AsyncIterator[Target]:
        public, operations = free_ports(2)
        file = self._folder / f"{name}.yaml"
        own = {
            "proxy": {
                "ip": LOOPBACK,
                "port": public,
                "operations": {"ip": LOOPBACK, "port": operations},
            }
        }
        configuration.write(file, configuration.DEFAULTS, settings, own)
        environment = configuration.without_overrides_of({**settings, **own}, os.environ)
        directory = CHECKOUT
        if compiled:
            # `-m` looks into the directory where it runs first.
            directory = self._compiled
            environment["PYTHONPATH"] = str(self._compiled)
        argv = (sys.executable, "-m", "vecguard.proxy", "--config", str(file))
        async with running(
            *(name, argv, http_ok(operations, "/readyz")),
            environment=environment,
            directory=directory,
        ) as process:
            _require(process, compiled=compiled)
            yield Target(name, public, process.pid)

    def _settings(self, *, is_open: bool = False, tls: bool = False) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "log": {"level": "warn"},
            "rootCoord": {"addresses": [self._root_coord]},
            "backend": {"address": f"{LOOPBACK}:{self._backend_port}"},
        }
        if is_open:
            settings["common"] = {"security": {"authorizationEnabled": False}}
        if tls:
            settings["common"] = {"security": {"tlsMode": 1}}
            settings["tls"] = {
                "serverPemPath": str(self.certificates / "server.pem"),
                "serverKeyPath": str(self.certificates / "server.key"),
            }
        return settings


def _require(process: Process, *, compiled: bool) -> None:
    """The figures of one must not be reported as the other's."""
    loaded = Path(f"/proc/{process.pid}/maps").read_text()
    modules = [
        line
        for line in loaded.splitlines()
        if line.endswith(".so") and ("/vecguard/proxy/" in line or "__mypyc" in line)
    ]
    if bool(modules) is not compiled:
        found = "compiled modules" if modules else "no compiled modules"
        raise LocalStackError(f"{process.name} runs {found}, which is not what was asked for")
