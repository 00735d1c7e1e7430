"""Runs the whole suite in containers, as one context manager."""

import asyncio
import secrets
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from docker.errors import APIError, DockerException
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from vecguard.config.security import TlsMode
from vecguard.testing.accounts import Account, PublicPort, random_password
from vecguard.testing.blueprint import BACKEND_NAME, Blueprint
from vecguard.testing.certificates import ClientFiles, StackCertificates
from vecguard.testing.deadline import Deadline
from vecguard.testing.errors import StackError
from vecguard.testing.images import Images
from vecguard.testing.parts import BACKEND_PORT, Part, Proxy, RootCoord

P = TypeVar("P", bound=Part)

ROOT = "root"


class VecguardStack:
    """Runs etcd, root coords, a backend and proxies in their own network.

    It is a context manager, also for `async with`: it starts and waits until clients can work,
    then removes everything, also when the start fails. Methods block; in a coroutine call them
    by `asyncio.to_thread`. A stopped stack can be started again, as a new one.

    Attributes:
        root: root and its first password.
        etcd: etcd's container.
        root_coords: one leads, the others stand by.
        proxies: the proxies, which are equal.
        backend: the backend's container; None if an address was given.
        tls: the files for clients; None without TLS.
        network: the network, for containers that are to join it. In it the parts have the
            names `proxy-1`, `root-coord-1`, `backend` and `etcd`, numbered from 1.
    """

    root: Account
    etcd: Part
    root_coords: tuple[RootCoord, ...]
    proxies: tuple[Proxy, ...]
    backend: Part | None
    tls: ClientFiles | None
    network: Network

    def __init__(
        self,
        *,
        proxies: int = 1,
        root_coords: int = 1,
        backend: DockerContainer | str | None = None,
        backend_port: int = 19530,
        tls: bool | TlsMode = False,
        settings: Mapping[str, Any] | None = None,
        root_password: str | None = None,
        images: Images | None = None,
        start_seconds: float = 120.0,
    ) -> None:
        """Describes a stack; no container is created before it is started.

        Args:
            proxies: the number of proxies.
            root_coords: the number of root coords.
            backend: the backend behind the proxies: a container that is not started yet, which
                the stack then starts and removes, or host:port as containers see it. Milvus
                Lite by default.
            backend_port: the port on which a given container listens.
            tls: True or `TlsMode.SERVER`: proxies show a certificate; `TlsMode.MUTUAL`:
                they ask clients for one too. The inner connections are then mutual.
            settings: laid over the settings of all services, as in their YAML file.
            root_password: root's first password; a random one by default.
            images: the images to start; by default the images that the environment names.
            start_seconds: the limit of a start, without the time for pulling images.
        """
        if proxies < 1 or root_coords < 1:
            raise StackError("a stack needs at least one proxy and one root coord")
        self._proxy_names = [f"proxy-{number + 1}" for number in range(proxies)]
        self._root_coord_names = [f"root-coord-{number + 1}" for number in range(root_coords)]
        self._backend = backend
        self._backend_port = backend_port
        self._tls_mode = TlsMode(tls)
        self._settings = settings or {}
        self._root_password = root_password
        self._images = images
        self._start_seconds = start_seconds
        self._given_up = threading.Event()
        self._parts: list[Part] = []
        self._resources = ExitStack()

    # ---- start and stop

    def start(self) -> None:
        """Starts everything and waits until root can work through every proxy.

        Raises:
            StackError: a part is missing, ended or took too long. The logs are in the error's
                notes, and no container is left running.
            VecguardError: a setting cannot be used.
        """
        self._given_up.clear()
        try:
            self._start()
        except BaseException as error:
            self._tell_logs(error)
            self.stop()
            if isinstance(error, DockerException):
                # The engine's own messages are APIErrors.
                advice = (
                    ""
                    if isinstance(error, APIError)
                    else "; start Docker, or set DOCKER_HOST to podman's socket"
                )
                raise StackError(f"the container engine: {error}{advice}") from error
            raise

    def stop(self) -> None:
        """Removes everything that was started. A second call has no effect.

        Raises:
            StackError: some containers could not be removed; the text names them.
        """
        self._resources.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._tell_logs(error)
        self.stop()

    async def __aenter__(self) -> Self:
        starting = asyncio.ensure_future(asyncio.to_thread(self.start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            # A thread cannot be cancelled: this makes it end and remove what it has started.
            self._given_up.set()
            await asyncio.wait({starting})
            if starting.exception() is None:
                await asyncio.to_thread(self.stop)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    # ---- access for tests

    @property
    def address(self) -> str:
        """host:port of the first proxy. It may change when that container is restarted."""
        return self.proxies[0].address

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every container, in the order in which they depend on each other."""
        return tuple(self._parts)

    @property
    def backend_address(self) -> str:
        """host:port of Milvus Lite itself, without the proxies' checks; to compare answers.

        Raises:
            StackError: the backend is not Milvus Lite.
        """
        if self.backend is None or self._backend is not None:
            raise StackError("no port of the backend is published: it is not Milvus Lite")
        return self.backend.published(BACKEND_PORT)

    def client_options(self, account: Account | None = None, proxy: int = 0) -> dict[str, Any]:
        """Returns keyword arguments for pymilvus's MilvusClient.

        Args:
            account: the user who logs in; root by default.
            proxy: the index of the proxy, from 0.
        """
        who = account or self.root
        scheme = "http" if self.tls is None else "https"
        options: dict[str, Any] = {
            "uri": f"{scheme}://{self.proxies[proxy].address}",
            "user": who.username,
            "password": who.password,
        }
        if self.tls is not None:
            options |= {"secure": True, "server_name": self.tls.server_name}
            if self._tls_mode is TlsMode.MUTUAL:
                options |= {
                    "client_pem_path": str(self.tls.certificate),
                    "client_key_path": str(self.tls.key),
                    "ca_pem_path": str(self.tls.ca),
                }
            else:
                options["server_pem_path"] = str(self.tls.ca)
        return options

    def user(
        self,
        username: str | None = None,
        password: str | None = None,
        *,
        roles: Sequence[str] = (),
    ) -> Account:
        """Creates a user, with a random name and a random password unless they are given.

        Without `roles` the user may do only what the role `public` allows. The role `admin` allows
        everything; make others with `root` and pymilvus.

        Raises:
            VecguardError: the server refuses, for example because the user exists.
        """
        name = username or f"user_{secrets.token_hex(4)}"
        account = Account(name, password or random_password())
        port = self._port()
        port.create(self.root, account)
        for role in roles:
            port.give_role(self.root, account.username, role)
        return account

    def change_password(self, account: Account, password: str | None = None) -> Account:
        """Replaces a user's password, by a random one unless it is given.

        Returns when no proxy accepts the old one any more.

        Raises:
            VecguardError: the server refuses, or gave no answer in time.
        """
        changed = Account(account.username, password or random_password())
        port = self._port()
        port.change_password(account, account.username, account.password, changed.password)
        if account.username == ROOT:
            self.root = changed
        return changed

    def delete_user(self, account: Account) -> None:
        """Removes a user.

        Raises:
            VecguardError: the server refuses, or gave no answer in time.
        """
        self._port().delete(self.root, account.username)

    def active_root_coord(self, timeout_seconds: float = 60.0) -> RootCoord:
        """Returns the root coord that leads, as soon as there is one.

        Raises:
            StackError: no root coord led in time.
        """
        return self._active(Deadline(timeout_seconds))

    def logs(self) -> dict[str, str]:
        """Returns the newest lines of each container, by its name."""
        return {part.name: part.logs() for part in self._parts}

    # ---- implementation

    def _start(self) -> None:
        deadline = Deadline(self._start_seconds, self._given_up)
        self._make_network()
        blueprint = self._blueprint()
        self.root = Account(ROOT, blueprint.root_password)
        self.etcd = self._run(blueprint.etcd(), deadline)
        self.backend = self._start_backend(blueprint, deadline)
        self.root_coords = tuple(
            self._run(blueprint.root_coord(name), deadline) for name in self._root_coord_names
        )
        self.proxies = tuple(
            self._run(blueprint.proxy(name), deadline) for name in self._proxy_names
        )
        for part in self._parts:
            part.wait_ready(deadline)
        self._active(deadline)
        for proxy in self.proxies:
            port = PublicPort(proxy.address, self.tls)
            deadline.wait_until(
                lambda port=port: port.forwards(self.root),  # type: ignore[misc] # bound per turn
                f"root reaches the backend through {proxy.name}",
            )

    def _make_network(self) -> None:
        self.network = Network()
        # testcontainers leaves the network's own connection to the engine open.
        self._resources.callback(self.network._docker.client.close)  # noqa: SLF001
        self.network.create()
        self._resources.callback(self._remove_network)

    def _remove_network(self) -> None:
        try:
            self.network.remove()
        except (DockerException, OSError) as error:
            raise StackError(
                f"the network {self.network.name} could not be removed: {error}"
            ) from error

    def _blueprint(self) -> Blueprint:
        self.tls, certificates = None, None
        if self._tls_mode is not TlsMode.OFF:
            names = ("etcd", *self._root_coord_names, *self._proxy_names)
            certificates = StackCertificates(self._tls_mode, names, datetime.now(UTC))
            directory = tempfile.TemporaryDirectory(prefix="vecguard-testing-")
            self.tls = certificates.write_for_clients(
                Path(self._resources.enter_context(directory))
            )
        return Blueprint(
            images=self._images or Images.from_environment(),
            root_password=self._root_password or random_password(),
            backend_address=self._address_of_backend(),
            root_coords=self._root_coord_names,
            settings=self._settings,
            certificates=certificates,
        )

    def _address_of_backend(self) -> str:
        if isinstance(self._backend, str):
            return self._backend
        port = BACKEND_PORT if self._backend is None else self._backend_port
        return f"{BACKEND_NAME}:{port}"

    def _start_backend(self, blueprint: Blueprint, deadline: Deadline) -> Part | None:
        if isinstance(self._backend, str):
            return None
        if self._backend is None:
            return self._run(blueprint.milvus_lite(), deadline)
        return self._run(Part(BACKEND_NAME, self._backend), deadline)

    def _run(self, part: P, deadline: Deadline) -> P:
        deadline.check(f"{part.name} is started")
        part.join(self.network)
        self._parts.append(part)
        self._resources.callback(self._remove, part)
        part.start()
        return part

    def _remove(self, part: Part) -> None:
        self._parts.remove(part)
        part.remove()

    def _active(self, deadline: Deadline) -> RootCoord:
        found: list[RootCoord] = []

        def one_is_active() -> bool:
            found.extend(each for each in self.root_coords if each.is_active)
            return bool(found)

        deadline.wait_until(one_is_active, "a root coord is elected")
        return found[0]

    def _port(self) -> PublicPort:
        for proxy in self.proxies:
            if proxy.answering:
                return PublicPort(proxy.address, self.tls)
        raise StackError("no proxy is running")

    def _tell_logs(self, error: BaseException) -> None:
        for name, log in self.logs().items():
            error.add_note(f"--- log of {name}\n{log}")
