"""Controls the containers of a stack."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar, Final

from docker.errors import DockerException, ImageNotFound
from docker.models.containers import Container
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from vecguard.testing.deadline import Deadline
from vecguard.testing.errors import StackError

PUBLIC_PORT: Final = 19530
BACKEND_PORT: Final = 19540

_START_SECONDS = 60.0
_STOP_SECONDS = 30
_ANSWER_SECONDS = 1.0
_LINES_SHOWN = 200
_READY = 200
_ADVICE_WITHOUT_IMAGE = (
    "; the engine has no such image and cannot pull it: run `make image` in a checkout of Vecguard "
    "to build Vecguard's own, or set VECGUARD_TESTING_IMAGE_PREFIX, VECGUARD_TESTING_IMAGE_TAG or "
    "VECGUARD_TESTING_ETCD_IMAGE to use others"
)


class Part:
    """One container of a stack.

    Every method that names an action returns when the action is complete.

    Raises:
        StackError: raised by every method when the engine refuses or a wait takes too long.
    """

    def __init__(
        self, name: str, container: DockerContainer, ready: Callable[["Part"], bool] | None = None
    ) -> None:
        """Describes a container; nothing is created before `start`.

        Args:
            name: its name in messages and in the stack's network.
            container: the container to start.
            ready: returns whether it serves, within about a second.
        """
        self.name = name
        self.container = container
        self._ready = ready

    def join(self, network: Network) -> None:
        """Adds it to this network under its name. Call it before `start`."""
        self.container.with_network(network).with_network_aliases(self.name)

    def start(self) -> None:
        """Creates and starts the container."""
        try:
            self.container.start()
        except (DockerException, OSError) as error:
            advice = _ADVICE_WITHOUT_IMAGE if self._image_is_missing() else ""
            raise StackError(f"{self.name} ({self.container.image}): {error}{advice}") from error

    def wait_ready(self, deadline: Deadline | None = None) -> None:
        """Waits until it serves; for a minute unless a deadline is given."""

        def ready() -> bool:
            if not self.running:
                raise StackError(f"{self.name} has ended:\n{self.logs(lines=20)}")
            return self._ready is None or self._ready(self)

        (deadline or Deadline(_START_SECONDS)).wait_until(ready, f"{self.name} is ready")

    @property
    def running(self) -> bool:
        """Whether its process exists, which is so while it is paused."""
        return self._status() in ("running", "paused", "created", "restarting")

    @property
    def answering(self) -> bool:
        """Whether its process exists and is not paused."""
        return self._status() == "running"

    def restart(self) -> None:
        """Stops it with the image's stop signal, starts it and waits until it serves.

        Its published ports may change.
        """
        with _translated(self.name):
            self._created().restart(timeout=_STOP_SECONDS)
        self.wait_ready()

    def stop(self) -> None:
        """Stops it with the image's stop signal; `start_again` starts it."""
        with _translated(self.name):
            self._created().stop(timeout=_STOP_SECONDS)

    def kill(self) -> None:
        """Ends it by SIGKILL; `start_again` starts it."""
        with _translated(self.name):
            self._created().kill()
            self._created().wait(timeout=_STOP_SECONDS)

    def start_again(self) -> None:
        """Starts it after `stop` or `kill` and waits until it serves."""
        with _translated(self.name):
            self._created().start()
        self.wait_ready()

    def pause(self) -> None:
        """Freezes all its processes; connections stay open and nothing answers."""
        with _translated(self.name):
            self._created().pause()

    def unpause(self) -> None:
        """Continues it after `pause`."""
        with _translated(self.name):
            self._created().unpause()

    def logs(self, lines: int = _LINES_SHOWN) -> str:
        """Returns the newest lines that it has printed."""
        try:
            text: bytes = self._created().logs(tail=lines)
        except (DockerException, OSError, StackError) as error:
            return f"(no log: {error})"
        return text.decode(errors="replace").rstrip()

    def published(self, port: int) -> str:
        """Returns host:port at which this machine reaches this port of the container."""
        identity = self._created().id or ""
        with _translated(self.name):
            host = self.container.get_container_host_ip()
            client = self.container.get_docker_client()
            if client.get_connection_mode().use_mapped_port:
                # Not its get_exposed_port, which needs a container that is not paused.
                return f"{host}:{client.port(identity, port)}"
            return f"{host}:{port}"

    def remove(self) -> None:
        """Stops and removes it with its volumes, if it was created."""
        with _translated(self.name):
            self.container.stop(force=True, delete_volume=True)

    def _image_is_missing(self) -> bool:
        try:
            self.container.get_docker_client().client.images.get(self.container.image)
        except ImageNotFound:
            return True
        except (DockerException, OSError):
            pass  # the first error says more than this one
        return False

    def _status(self) -> str:
        container = self._created()
        with _translated(self.name):
            container.reload()
        return str(container.status)

    def _created(self) -> Container:
        try:
            return self.container.get_wrapped_container()
        except Exception as error:  # testcontainers has its own class for this
            raise StackError(f"{self.name} has not been started") from error


class Service(Part):
    """A part that is a service of Vecguard, with its operations port."""

    operations_port: ClassVar[int]

    @property
    def operations_address(self) -> str:
        """host:port of its operations port."""
        return self.published(self.operations_port)

    def answer(self, path: str) -> int:
        """Returns the HTTP status of its operations port for `path`; 0 if it does not answer."""
        try:
            url = f"http://{self.operations_address}{path}"
            with _opener.open(url, timeout=_ANSWER_SECONDS) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except (OSError, http.client.HTTPException, StackError):
            return 0


class Proxy(Service):
    """A proxy."""

    operations_port = 9091

    def __init__(self, name: str, container: DockerContainer) -> None:
        super().__init__(name, container, lambda _: self.answer("/readyz") == _READY)

    @property
    def address(self) -> str:
        """host:port for clients on this machine. It may change at a restart."""
        return self.published(PUBLIC_PORT)


class RootCoord(Service):
    """A root coord. It counts as ready when it leads or stands by."""

    operations_port = 9092

    def __init__(self, name: str, container: DockerContainer) -> None:
        super().__init__(name, container, lambda _: self.answer("/readyz?exclude=role") == _READY)

    @property
    def is_active(self) -> bool:
        """Returns whether it is the active root coord at this moment."""
        return self.answer("/readyz") == _READY


# Without the proxies that the environment may name: these ports are on the engine's host.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except (DockerException, OSError, TimeoutError) as error:
        raise StackError(f"{name}: {error}") from error
