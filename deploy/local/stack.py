"""The local stack: etcd, root coord, Milvus Lite and proxies, each a real process."""

import asyncio
import contextlib
import fcntl
import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local import configuration
from deploy.local.configuration import Settings
from deploy.local.errors import LocalStackError
from deploy.local.ports import LOOPBACK, Ports
from deploy.local.process import Process, Program
from deploy.local.readiness import http_ok, speaks_http2
from shared.errors import VecguardError
from shared.etcd.binary import find_etcd_binary

CHECKOUT = Path(__file__).resolve().parents[2]


class ProxyProcess(Process):
    """A proxy, and where it is found."""

    def __init__(
        self, program: Program, on_line: Callable[[str, str], None], public: int, operations: int
    ) -> None:
        super().__init__(program, on_line)
        #: host:port for clients on this machine.
        self.address = f"{LOOPBACK}:{public}"
        #: host:port of its health and metrics.
        self.operations_address = f"{LOOPBACK}:{operations}"


class LocalStack:
    """All processes of one stack. An asynchronous context manager: start, then stop.

    Everything listens on loopback; `listen` opens the proxies' public ports elsewhere.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        ports: Ports | None = None,
        proxies: int = 1,
        listen: str = LOOPBACK,
        settings_overrides: Settings | None = None,
        environment: Mapping[str, str] | None = None,
        verbose: bool = False,
        on_line: Callable[[str, str], None] = lambda _name, _line: None,
    ) -> None:
        """Describe a stack; nothing is touched before `start`.

        Args:
            data_dir: where all state lives. A later stack on it goes on from there.
            ports: where to listen; the fixed defaults, or any free ports for more proxies.
            proxies: how many, unless `ports` says it.
            listen: the address of the proxies' public ports.
            settings_overrides: settings laid over both services' own, as in their YAML file.
            environment: what the processes inherit; this process's own if not given.
            verbose: let etcd tell everything, not only warnings.
            on_line: gets (process name, line) for each line of output.
        """
        if ports is None:
            ports = Ports() if proxies == 1 else Ports.free(proxies=proxies)
        self.data_dir = data_dir.absolute()
        self.ports = ports
        self.listen = listen
        self.backend_address = f"{LOOPBACK}:{ports.backend}"
        self._overrides = settings_overrides or {}
        self._environment = dict(os.environ if environment is None else environment)
        # A child's output is no terminal, so Python would hold its lines back.
        self._environment["PYTHONUNBUFFERED"] = "1"
        self._verbose = verbose
        self._on_line = on_line
        self._resources = contextlib.ExitStack()
        self.etcd = Process(self._etcd(), on_line)
        self.root_coord = Process(self._root_coord(), on_line)
        self.backend = Process(self._backend(), on_line)
        self.proxies = tuple(self._proxy(index) for index in range(len(ports.proxies)))

    @property
    def processes(self) -> tuple[Process, ...]:
        """Every process, in the order in which they depend on each other."""
        return (self.etcd, self.backend, self.root_coord, *self.proxies)

    async def start(self) -> None:
        """Start everything and wait until it is ready.

        Raises:
            LocalStackError: something is missing, busy, ended, or took too long. Nothing is
                left running.
        """
        try:
            self._prepare()
            await self.etcd.start()
            await self.backend.start()
            await self.etcd.wait_ready()
            await self.root_coord.start()
            await self.root_coord.wait_ready()
            await self.backend.wait_ready()
            for proxy in self.proxies:
                await proxy.start()
            for proxy in self.proxies:
                await proxy.wait_ready()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop everything, those first that depend on others."""
        try:
            async with asyncio.TaskGroup() as group:
                for proxy in self.proxies:
                    group.create_task(proxy.stop())
            for process in (self.root_coord, self.backend, self.etcd):
                await process.stop()
        finally:
            self.kill()
            self._resources.close()

    def kill(self) -> None:
        """SIGKILL to everything that still runs."""
        for process in self.processes:
            if process.running:
                process.kill()

    async def wait_for_failure(self) -> LocalStackError:
        """Wait until a process ends without having been asked to."""
        waits = {asyncio.create_task(each.wait()): each for each in self.processes}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return await waits[done.pop()].failure()
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.wait(waits)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _prepare(self) -> None:
        """Find what can be found out before anything is started.

        Raises:
            LocalStackError: naming what is wrong and what to do.
        """
        if importlib.util.find_spec("milvus_lite") is None:
            raise LocalStackError("Milvus Lite is not installed; run: pip install '.[local]'")
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock_data_dir()
            self._write_configuration()
        except OSError as error:
            raise LocalStackError(
                f"the data directory {self.data_dir} cannot be used "
                f"({error.strerror}); choose another with --data-dir"
            ) from error
        self.ports.check_free(self.listen)

    def _lock_data_dir(self) -> None:
        lock = self._resources.enter_context((self.data_dir / "lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LocalStackError(
                f"another local stack uses the data directory {self.data_dir}; "
                "stop it, or choose another with --data-dir"
            ) from error

    def _write_configuration(self) -> None:
        for name, own in self._service_settings():
            path = self._configuration_file(name)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            configuration.write(path, configuration.DEFAULTS, own, self._overrides)

    def _service_settings(self) -> Iterator[tuple[str, Settings]]:
        yield "root-coord", configuration.root_coord_settings(self.ports)
        for index in range(len(self.ports.proxies)):
            yield (
                self._proxy_name(index),
                configuration.proxy_settings(self.ports, index, self.listen),
            )

    def _configuration_file(self, name: str) -> Path:
        return self.data_dir / "config" / f"{name}.yaml"

    def _proxy_name(self, index: int) -> str:
        return "proxy" if len(self.ports.proxies) == 1 else f"proxy-{index + 1}"

    def _etcd(self) -> Program:
        client = f"http://{LOOPBACK}:{self.ports.etcd}"
        peer = f"http://{LOOPBACK}:{self.ports.etcd_peer}"
        options = {
            "--name": "local",
            "--data-dir": str(self.data_dir / "etcd"),
            "--listen-client-urls": client,
            "--advertise-client-urls": client,
            "--listen-peer-urls": peer,
            "--initial-advertise-peer-urls": peer,
            "--initial-cluster": f"local={peer}",
            "--log-level": "info" if self._verbose else "warn",
        }
        return Program(
            name="etcd",
            argv=(str(_etcd_binary()), *(word for option in options.items() for word in option)),
            # etcd takes ETCD_* variables for options.
            environment={
                name: value
                for name, value in self._environment.items()
                if not name.startswith("ETCD_")
            },
            directory=CHECKOUT,
            ready=http_ok(self.ports.etcd, "/health"),
        )

    def _backend(self) -> Program:
        return Program(
            name="backend",
            argv=(
                *(sys.executable, "-m", "milvus_lite", "server"),
                *("--data-dir", str(self.data_dir / "milvus-lite")),
                *("--host", LOOPBACK, "--port", str(self.ports.backend)),
            ),
            environment=self._environment,
            directory=CHECKOUT,
            ready=speaks_http2(self.ports.backend),
            # The one signal after which it closes its data.
            stop_signal=signal.SIGINT,
        )

    def _root_coord(self) -> Program:
        return self._service(
            "root-coord",
            "services.root_coord",
            configuration.root_coord_settings(self.ports),
            self.ports.root_coord_operations,
        )

    def _proxy(self, index: int) -> ProxyProcess:
        own = self.ports.proxies[index]
        program = self._service(
            self._proxy_name(index),
            "services.proxy",
            configuration.proxy_settings(self.ports, index, self.listen),
            own.operations,
        )
        return ProxyProcess(program, self._on_line, own.public, own.operations)

    def _service(self, name: str, module: str, settings: Settings, operations: int) -> Program:
        return Program(
            name=name,
            argv=(sys.executable, "-m", module, "--config", str(self._configuration_file(name))),
            environment=configuration.without_overrides_of(settings, self._environment),
            directory=CHECKOUT,
            ready=http_ok(operations, "/readyz"),
        )


def _etcd_binary() -> Path:
    try:
        return Path(find_etcd_binary())
    except (VecguardError, OSError) as error:
        raise LocalStackError(str(error)) from error
