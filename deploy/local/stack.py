"""Runs the local stack: etcd, root coord, Milvus Lite and proxies, each a real process."""

import asyncio
import contextlib
import fcntl
import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local import configuration
from deploy.local.backend_data import check_backend_data
from deploy.local.certificates import LocalCertificates
from deploy.local.configuration import Settings
from deploy.local.errors import LocalStackError
from deploy.local.etcd_binary import find_etcd_binary
from deploy.local.ports import LOOPBACK, Ports
from deploy.local.process import Process, Program
from deploy.local.readiness import Probe, decides_logins, http_ok, speaks_http2
from vecguard.config.security import TlsMode
from vecguard.errors import VecguardError

CHECKOUT = Path(__file__).resolve().parents[2]

_POLL_SECONDS = 0.05


class ServiceProcess(Process):
    """Runs a process of Vecguard and knows its addresses."""

    def __init__(
        self, program: Program, on_line: Callable[[str, str], None], port: int, operations: int
    ) -> None:
        super().__init__(program, on_line)
        #: host:port of its service on this machine.
        self.address = f"{LOOPBACK}:{port}"
        #: host:port of its operations port.
        self.operations_address = f"{LOOPBACK}:{operations}"


class ProxyProcess(ServiceProcess):
    """Runs a proxy; `address` is for clients. It is ready when it has a session with root coord."""


class RootCoordProcess(ServiceProcess):
    """Runs a root coord; `address` is for proxies. It is ready when it leads or stands by."""

    def __init__(
        self, program: Program, on_line: Callable[[str, str], None], port: int, operations: int
    ) -> None:
        super().__init__(program, on_line, port, operations)
        self._leads = http_ok(operations, "/readyz")

    async def is_active(self) -> bool:
        """Returns whether it is the active root coord at this moment."""
        return self.running and await self._leads()


class LocalStack:
    """Starts and stops all processes of one stack, as an asynchronous context manager.

    Everything listens on loopback; `listen` opens the proxies' public ports elsewhere.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        backend_data: Path | None = None,
        ports: Ports | None = None,
        proxies: int = 1,
        root_coords: int = 1,
        tls: TlsMode = TlsMode.OFF,
        listen: str = LOOPBACK,
        settings_overrides: Settings | None = None,
        environment: Mapping[str, str] | None = None,
        verbose: bool = False,
        on_line: Callable[[str, str], None] = lambda _name, _line: None,
    ) -> None:
        """Describes a stack; no file or process is touched before `start`.

        Args:
            data_dir: where all state is kept. A later stack on it continues from there.
            backend_data: an existing Milvus Lite 3 database to serve in place; by default
                Milvus Lite keeps its data in `milvus-lite` below the data directory.
            ports: where to listen; the fixed defaults, or any free ports for more processes.
            proxies: their number, unless `ports` gives it.
            root_coords: their number, unless `ports` gives it; one leads, the others stand by.
            tls: how clients reach the proxies. Unless it is off, connections between the services
                are mutual, except the connection to Milvus Lite, which cannot speak TLS. The
                certificates are in `certs` below the data directory, made if they are missing.
            listen: the address of the proxies' public ports.
            settings_overrides: settings laid over both services' own, as in their YAML file. If
                they name a backend, Milvus Lite is not started.
            environment: the environment that the processes inherit; this process's own by default.
            verbose: shows all of etcd's log, not only warnings.
            on_line: called with (process name, line) for each line of output.
        """
        if ports is None:
            alone = proxies == root_coords == 1
            ports = Ports() if alone else Ports.free(proxies=proxies, root_coords=root_coords)
        self.data_dir = data_dir.absolute()
        self.backend_data_is_given = backend_data is not None
        self.backend_data = (backend_data or data_dir / "milvus-lite").absolute()
        self.ports = ports
        self.listen = listen
        self.backend_address = f"{LOOPBACK}:{ports.backend}"
        self.certificates = (
            None if tls is TlsMode.OFF else LocalCertificates(self.data_dir / "certs", tls)
        )
        self._overrides = settings_overrides or {}
        self._environment = dict(os.environ if environment is None else environment)
        # A child's output is no terminal, so Python would buffer its lines.
        self._environment["PYTHONUNBUFFERED"] = "1"
        self._verbose = verbose
        self._on_line = on_line
        self._resources = contextlib.ExitStack()
        self.etcd = Process(self._etcd(), on_line)
        self.root_coords = tuple(self._root_coord(n) for n in range(len(ports.root_coords)))
        self.backend = Process(self._backend(), on_line)
        self.proxies = tuple(self._proxy(index) for index in range(len(ports.proxies)))

    @property
    def root_coord(self) -> RootCoordProcess:
        """The first root coord; most stacks have only this one."""
        return self.root_coords[0]

    @property
    def root_coord_configuration(self) -> Path:
        """The configuration file of the first root coord, for commands that administer etcd."""
        return self._configuration_file(self._root_coord_name(0))

    @property
    def processes(self) -> tuple[Process, ...]:
        """Every process, in the order in which they depend on each other."""
        return (self.etcd, *self._own_backend, *self.root_coords, *self.proxies)

    @property
    def _own_backend(self) -> tuple[Process, ...]:
        """Milvus Lite, unless the proxies have another backend."""
        return () if "address" in self._overrides.get("backend", {}) else (self.backend,)

    async def start(self) -> None:
        """Starts everything and waits until it is ready.

        Raises:
            LocalStackError: a part is missing, its port is taken, it ended, or took too long. No
                process is left running.
        """
        try:
            self._prepare()
            await self.etcd.start()
            for backend in self._own_backend:
                await backend.start()
            await self.etcd.wait_ready()
            for root_coord in self.root_coords:
                await root_coord.start()
                await root_coord.wait_ready()
            await self.active_root_coord()
            for backend in self._own_backend:
                await backend.wait_ready()
            for proxy in self.proxies:
                await proxy.start()
            for proxy in self.proxies:
                await proxy.wait_ready()
        except BaseException:
            await self.stop()
            raise

    async def active_root_coord(self) -> RootCoordProcess:
        """Returns the root coord that leads, as soon as there is one.

        Raises:
            LocalStackError: no root coord leads within the time that a start may take.
        """
        try:
            async with asyncio.timeout(self.root_coord.program.start_seconds):
                while True:
                    for each in self.root_coords:
                        if await each.is_active():
                            return each
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError as error:
            raise LocalStackError("no root coord was elected in time") from error

    async def stop(self) -> None:
        """Stops all processes in reverse order of their dependencies."""
        try:
            for processes in (self.proxies, self.root_coords, self._own_backend, (self.etcd,)):
                async with asyncio.TaskGroup() as group:
                    for process in processes:
                        group.create_task(process.stop())
        finally:
            self.kill()
            self._resources.close()

    def kill(self) -> None:
        """Sends SIGKILL to every process that still runs."""
        for process in self.processes:
            if process.running:
                process.kill()

    async def wait_for_failure(self) -> LocalStackError:
        """Waits until a process ends that was not stopped, and returns the error."""
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
        """Checks everything that can be checked before a process is started.

        Raises:
            LocalStackError: the text says what is wrong and what to do.
        """
        if importlib.util.find_spec("milvus_lite") is None:
            raise LocalStackError("Milvus Lite is not installed; run: pip install '.[local]'")
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock_data_dir()
            check_backend_data(self.backend_data, given=self.backend_data_is_given)
            if self.certificates is not None:
                self.certificates.prepare(datetime.now(UTC))
            self._write_configuration()
        except OSError as error:
            raise LocalStackError(
                f"the data directory {self.data_dir} cannot be used "
                f"({error.strerror}); choose another: make run RUN_ARGS='--data-dir DIR'"
            ) from error
        self.ports.check_free(self.listen)

    def _lock_data_dir(self) -> None:
        lock = self._resources.enter_context((self.data_dir / "lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LocalStackError(
                f"another local stack uses the data directory {self.data_dir}; "
                "stop it, or choose another: make run RUN_ARGS='--data-dir DIR'"
            ) from error

    def _write_configuration(self) -> None:
        for name, own in self._service_settings():
            path = self._configuration_file(name)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            configuration.write(path, configuration.DEFAULTS, own, self._overrides)

    def _service_settings(self) -> Iterator[tuple[str, Settings]]:
        for index in range(len(self.ports.root_coords)):
            yield self._root_coord_name(index), self._root_coord_settings(index)
        for index in range(len(self.ports.proxies)):
            yield self._proxy_name(index), self._proxy_settings(index)

    def _root_coord_settings(self, index: int) -> Settings:
        own = configuration.root_coord_settings(self.ports, index)
        if self.certificates is None:
            return own
        return configuration.laid_over(own, self.certificates.root_coord_settings())

    def _proxy_settings(self, index: int) -> Settings:
        own = configuration.proxy_settings(self.ports, index, self.listen)
        if self.certificates is None:
            return own
        return configuration.laid_over(own, self.certificates.proxy_settings())

    def _configuration_file(self, name: str) -> Path:
        return self.data_dir / "config" / f"{name}.yaml"

    def _proxy_name(self, index: int) -> str:
        return "proxy" if len(self.ports.proxies) == 1 else f"proxy-{index + 1}"

    def _root_coord_name(self, index: int) -> str:
        return "root-coord" if len(self.ports.root_coords) == 1 else f"root-coord-{index + 1}"

    def _etcd(self) -> Program:
        tls = self.certificates
        scheme = "http" if tls is None else "https"
        client = f"{scheme}://{LOOPBACK}:{self.ports.etcd}"
        peer = f"{scheme}://{LOOPBACK}:{self.ports.etcd_peer}"
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
            argv=(
                str(_etcd_binary()),
                *(word for option in options.items() for word in option),
                *(() if tls is None else tls.etcd_arguments()),
            ),
            # etcd reads ETCD_* variables as options.
            environment={
                name: value
                for name, value in self._environment.items()
                if not name.startswith("ETCD_")
            },
            directory=CHECKOUT,
            ready=http_ok(self.ports.etcd, "/health", tls=None if tls is None else tls.etcd_probe),
        )

    def _backend(self) -> Program:
        return Program(
            name="backend",
            argv=(
                *(sys.executable, "-m", "milvus_lite", "server"),
                *("--data-dir", str(self.backend_data)),
                *("--host", LOOPBACK, "--port", str(self.ports.backend)),
            ),
            environment=self._environment,
            directory=CHECKOUT,
            ready=speaks_http2(self.ports.backend),
            # The only signal after which it closes its data.
            stop_signal=signal.SIGINT,
        )

    def _root_coord(self, index: int) -> RootCoordProcess:
        own = self.ports.root_coords[index]
        program = self._service(
            self._root_coord_name(index),
            "vecguard.root_coord",
            self._root_coord_settings(index),
            # A standby counts as ready; a lone root coord has to be active.
            http_ok(
                own.operations,
                "/readyz" if len(self.ports.root_coords) == 1 else "/readyz?exclude=role",
            ),
        )
        return RootCoordProcess(program, self._on_line, own.internal, own.operations)

    def _proxy(self, index: int) -> ProxyProcess:
        own = self.ports.proxies[index]
        program = self._service(
            self._proxy_name(index),
            "vecguard.proxy",
            self._proxy_settings(index),
            decides_logins(own.operations),
        )
        return ProxyProcess(program, self._on_line, own.public, own.operations)

    def _service(self, name: str, module: str, settings: Settings, ready: Probe) -> Program:
        return Program(
            name=name,
            argv=(sys.executable, "-m", module, "--config", str(self._configuration_file(name))),
            environment=configuration.without_overrides_of(settings, self._environment),
            directory=CHECKOUT,
            ready=ready,
        )


def _etcd_binary() -> Path:
    try:
        return Path(find_etcd_binary())
    except (VecguardError, OSError) as error:
        raise LocalStackError(str(error)) from error
