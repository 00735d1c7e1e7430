"""Real etcd processes for tests.

A test that uses the shared `etcd` keeps to keys below its own `prefix`. A test that kills
or stops a member takes `own_etcd` or `etcd_cluster`.
"""

import signal
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.etcd_binary import find_etcd_binary
from deploy.local.ports import free_ports
from tests.support.debian_packages import program_of

START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_START_ATTEMPTS = 5


class EtcdStartError(Exception):
    """etcd ended or did not become healthy; the text holds the end of its log."""


@dataclass(frozen=True)
class Ports:
    client: int
    peer: int
    health: int

    @classmethod
    def free(cls) -> "Ports":
        """Returns ports that this test process reserves."""
        return cls(*free_ports(3))


def recommended_etcd() -> Path | None:
    """Returns an etcd of the releases for production: 3.5.30 or newer, of Debian forky.

    Returns None where it cannot be had. The other tests use PyPI's etcd, which is 3.5.1.
    """
    return program_of("etcd-server", "usr/bin/etcd", release="forky")


class EtcdProcess:
    """One member on loopback; it keeps its ports and data through restarts.

    All methods block; in an async test that has other tasks, use `asyncio.to_thread`.

    Args:
        directory: for its data and its log.
        name: within its cluster.
        ports: None chooses free ones at the first start.
        peers: the whole cluster, this member included; None for a cluster of one.
        arguments: more of etcd's options.
        scheme: of the client port; "https" needs certificates in `arguments`.
        program: None takes the one that the local stack takes.
    """

    def __init__(
        self,
        directory: Path,
        *,
        name: str = "only",
        ports: Ports | None = None,
        peers: dict[str, Ports] | None = None,
        arguments: Sequence[str] = (),
        scheme: str = "http",
        program: Path | None = None,
    ) -> None:
        self._directory = directory
        self._name = name
        self._ports = ports
        self._peers = peers
        self._arguments = tuple(arguments)
        self._scheme = scheme
        self._program = program or find_etcd_binary()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ports(self) -> Ports:
        assert self._ports is not None, "never started"
        return self._ports

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.ports.client}"

    @property
    def log_path(self) -> Path:
        return self._directory / f"{self._name}.log"

    def start(self) -> None:
        """Starts it and waits until it is healthy.

        Raises:
            EtcdStartError: it is not in time.
        """
        if self._ports is not None:
            self.launch()
            self.wait_healthy()
            return
        for _ in range(_START_ATTEMPTS - 1):
            self._ports = Ports.free()
            self.launch()
            try:
                self.wait_healthy()
            except EtcdStartError as error:
                self.kill()
                if "address already in use" not in str(error):
                    raise
            else:
                return
        raise EtcdStartError("other processes took every choice of ports")

    def launch(self) -> None:
        """Starts it without waiting: a member of a cluster is healthy only with the others."""
        assert self._process is None, "it is running"
        ports = self.ports
        peers = self._peers or {self._name: ports}
        peer_url = f"http://127.0.0.1:{ports.peer}"
        client_url = f"{self._scheme}://127.0.0.1:{ports.client}"
        self._directory.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._program,
                    f"--name={self._name}",
                    f"--data-dir={self._directory / self._name}",
                    f"--listen-client-urls={client_url}",
                    f"--advertise-client-urls={client_url}",
                    f"--listen-peer-urls={peer_url}",
                    f"--initial-advertise-peer-urls={peer_url}",
                    "--initial-cluster="
                    + ",".join(
                        f"{name}=http://127.0.0.1:{peer.peer}" for name, peer in peers.items()
                    ),
                    f"--listen-metrics-urls=http://127.0.0.1:{ports.health}",
                    "--logger=zap",
                    "--log-level=warn",
                    # Tests kill the process, never the machine: the kernel keeps what was written.
                    "--unsafe-no-fsync",
                    *self._arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={},
            )

    def wait_healthy(self, timeout_seconds: float = START_SECONDS) -> None:
        """Returns when it serves, which in a cluster needs a leader.

        Raises:
            EtcdStartError: it does not in time.
        """
        assert self._process is not None
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise EtcdStartError(f"etcd ended by itself:\n{self._log_tail()}")
            try:
                url = f"http://127.0.0.1:{self.ports.health}/health"
                with urllib.request.urlopen(url, timeout=1.0) as reply:
                    if b'"health":"true"' in reply.read():
                        return
            except (OSError, urllib.error.URLError):
                pass
            time.sleep(0.02)
        raise EtcdStartError(f"etcd is not healthy in time:\n{self._log_tail()}")

    def stop(self) -> None:
        """Stops the process with SIGTERM."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kills the process with SIGKILL."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Starts the process again, on the same ports with the same data."""
        self.start()

    def pause(self) -> None:
        """Stops the process with SIGSTOP: the kernel still accepts and acknowledges."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "it is not running"
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_SECONDS)

    def _log_tail(self) -> str:
        return self.log_path.read_text(errors="replace")[-4000:]


class EtcdCluster:
    """A cluster of three members."""

    def __init__(
        self, directory: Path, *, arguments: Sequence[str] = (), program: Path | None = None
    ) -> None:
        names = ("one", "two", "three")
        peers = {name: Ports.free() for name in names}
        self.members = tuple(
            EtcdProcess(
                directory,
                name=name,
                ports=peers[name],
                peers=peers,
                arguments=arguments,
                program=program,
            )
            for name in names
        )

    @property
    def endpoints(self) -> list[str]:
        return [member.endpoint for member in self.members]

    def member_at(self, endpoint: str) -> EtcdProcess:
        return next(member for member in self.members if member.endpoint == endpoint)

    def start(self) -> None:
        for member in self.members:
            member.launch()
        for member in self.members:
            member.wait_healthy()

    def kill(self) -> None:
        for member in self.members:
            member.kill()


@contextmanager
def running_etcd(
    directory: Path, *, arguments: Sequence[str] = (), program: Path | None = None
) -> Iterator[EtcdProcess]:
    process = EtcdProcess(directory, arguments=arguments, program=program)
    with ExitStack() as stack:
        stack.callback(process.kill)
        process.start()
        yield process


@contextmanager
def running_cluster(
    directory: Path, *, arguments: Sequence[str] = (), program: Path | None = None
) -> Iterator[EtcdCluster]:
    """Yields three members. Tries other ports if another process takes one first."""
    for attempt in range(_START_ATTEMPTS):
        cluster = EtcdCluster(directory / str(attempt), arguments=arguments, program=program)
        with ExitStack() as stack:
            stack.callback(cluster.kill)
            try:
                cluster.start()
            except EtcdStartError as error:
                if "address already in use" not in str(error):
                    raise
                continue
            yield cluster
            return
    raise EtcdStartError("other processes took every choice of ports")


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdProcess]:
    """Yields one member for the whole session. Do not stop it; use your own `prefix`."""
    with running_etcd(tmp_path_factory.mktemp("etcd")) as process:
        yield process


@pytest.fixture
def own_etcd(tmp_path: Path) -> Iterator[EtcdProcess]:
    """Yields one member for one test, which may kill it."""
    with running_etcd(tmp_path / "etcd") as process:
        yield process


@pytest.fixture
def etcd_cluster(tmp_path: Path) -> Iterator[EtcdCluster]:
    """Yields three members for one test, which may kill them."""
    with running_cluster(tmp_path / "etcd") as cluster:
        yield cluster


@pytest.fixture
def prefix() -> bytes:
    """Returns a prefix of keys that no other test uses."""
    return f"test/{uuid.uuid4()}/".encode()
