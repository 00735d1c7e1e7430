"""Describes how each container of a stack is started."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml
from docker.errors import ImageNotFound

from vecguard.testing.certificates import StackCertificates
from vecguard.testing.filled_container import FilledContainer
from vecguard.testing.images import Images, names_of
from vecguard.testing.parts import (
    BACKEND_PORT,
    PUBLIC_PORT,
    Part,
    Proxy,
    RootCoord,
)

#: For tests: cheap passwords, a log for people, and no long wait at the end.
DEFAULTS: Final[Mapping[str, Any]] = {
    "authentication": {"bcryptCost": 4},
    "log": {"format": "text"},
    "proxy": {"drainTimeout": 5},
    "rootCoord": {"drainTimeout": 5},
}
ETCD_NAME: Final = "etcd"
BACKEND_NAME: Final = "backend"

_INTERNAL_PORT = 53100
_ETCD_PORT = 2379
_CONFIGURATION = "/etc/vecguard/vecguard.yaml"
_UNPRIVILEGED = {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}


@dataclass(frozen=True, slots=True)
class Blueprint:
    """Makes the parts of one stack; none is started.

    Attributes:
        images: the images of the parts.
        root_password: root's first password.
        backend_address: host:port of the backend, from inside the network.
        root_coords: the names of all root coords.
        settings: laid over the services' own, as in their YAML file.
        certificates: None without TLS.
    """

    images: Images
    root_password: str
    backend_address: str
    root_coords: Sequence[str]
    settings: Mapping[str, Any]
    certificates: StackCertificates | None

    def etcd(self) -> Part:
        """Returns an etcd of one member, whose data live as long as its container."""
        tls = self.certificates
        scheme = "http" if tls is None else "https"
        container = _container(self.images.etcd)
        container.with_command(
            [
                "etcd",
                *("--name", ETCD_NAME),
                # In the container, not in a volume: the data only have to survive a restart.
                *("--data-dir", "/vecguard-etcd"),
                *("--listen-client-urls", f"{scheme}://0.0.0.0:{_ETCD_PORT}"),
                *("--advertise-client-urls", f"{scheme}://{ETCD_NAME}:{_ETCD_PORT}"),
                *("--log-level", "warn"),
                *(() if tls is None else tls.etcd_arguments()),
            ]
        )
        # The image may have no directory that its own user can write to.
        container.with_kwargs(user="0:0", security_opt=["no-new-privileges"])
        container.with_files({} if tls is None else tls.for_etcd())
        return Part(ETCD_NAME, container)

    def milvus_lite(self) -> Part:
        """Returns the default backend. Its port has no password and is published for comparison."""
        container = _container(self.images.milvus_lite).with_exposed_ports(BACKEND_PORT)
        container.with_kwargs(**_UNPRIVILEGED)
        return Part(BACKEND_NAME, container)

    def root_coord(self, name: str) -> RootCoord:
        """Returns a root coord."""
        own: dict[str, Any] = {
            "etcd": {"endpoints": [f"{ETCD_NAME}:{_ETCD_PORT}"]},
            "common": {"security": {"defaultRootPassword": self.root_password}},
            "rootCoord": {"advertisedAddress": f"{name}:{_INTERNAL_PORT}"},
        }
        tls = self.certificates
        if tls is not None:
            own = laid_over(own, tls.root_coord_settings())
        container = _container(self.images.root_coord).with_exposed_ports(RootCoord.operations_port)
        self._equip(container, own, {} if tls is None else tls.for_root_coord())
        return RootCoord(name, container)

    def proxy(self, name: str) -> Proxy:
        """Returns a proxy."""
        own: dict[str, Any] = {
            "rootCoord": {"addresses": [f"{each}:{_INTERNAL_PORT}" for each in self.root_coords]},
            "backend": {"address": self.backend_address},
        }
        tls = self.certificates
        if tls is not None:
            own = laid_over(own, tls.proxy_settings())
        container = _container(self.images.proxy).with_exposed_ports(
            PUBLIC_PORT, Proxy.operations_port
        )
        self._equip(container, own, {} if tls is None else tls.for_proxy())
        return Proxy(name, container)

    def _equip(
        self, container: FilledContainer, own: Mapping[str, Any], files: Mapping[str, bytes]
    ) -> None:
        settings = laid_over(laid_over(DEFAULTS, own), self.settings)
        text: str = yaml.safe_dump(settings, sort_keys=False)
        container.with_env("VECGUARD_CONFIG", _CONFIGURATION)
        container.with_kwargs(**_UNPRIVILEGED)
        container.with_files({_CONFIGURATION: text.encode(), **files})


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merges two settings, section by section; where they differ, `above` wins."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        is_section = isinstance(value, Mapping) and isinstance(under, Mapping)
        result[key] = laid_over(under or {}, value) if is_section else value
    return result


def _container(image: str) -> FilledContainer:
    container = FilledContainer(image)
    known = container.get_docker_client().client.images
    for name in names_of(container.image):
        try:
            known.get(name)
        except ImageNotFound:
            continue
        container.image = name
        break
    # It has none of these names: the engine will try to pull the first.
    return container
