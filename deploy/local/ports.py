"""Assigns a port to each process of the local stack."""

import contextlib
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from deploy.local.errors import LocalStackError
from vecguard.addresses import Address
from vecguard.listening import CannotListenError, bound_sockets, close_all

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class ProxyPorts:
    """The ports of one proxy: for clients, and for operations."""

    public: int
    operations: int


@dataclass(frozen=True)
class RootCoordPorts:
    """The ports of one root coord: for proxies, and for operations."""

    internal: int
    operations: int


@dataclass(frozen=True, kw_only=True)
class Ports:
    """The ports of one stack.

    The defaults of the inner ports avoid etcd's and Milvus's own, which another installation on
    the same machine is likely to occupy.
    """

    etcd: int = 23790
    etcd_peer: int = 23800
    root_coord: int = 53100
    root_coord_operations: int = 9092
    backend: int = 19540
    proxies: tuple[ProxyPorts, ...] = field(default=(ProxyPorts(19530, 9091),))
    more_root_coords: tuple[RootCoordPorts, ...] = ()

    @property
    def root_coords(self) -> tuple[RootCoordPorts, ...]:
        """The ports of every root coord, the first one's own fields among them."""
        first = RootCoordPorts(self.root_coord, self.root_coord_operations)
        return (first, *self.more_root_coords)

    @classmethod
    def free(cls, *, proxies: int = 1, root_coords: int = 1) -> "Ports":
        """Returns ports that are free at this moment; for tests."""
        own = 5 + 2 * proxies
        count = own + 2 * (root_coords - 1)
        with contextlib.ExitStack() as held:
            sockets = [held.enter_context(socket.socket()) for _ in range(count)]
            for each in sockets:
                each.bind((LOOPBACK, 0))
            numbers = [each.getsockname()[1] for each in sockets]
        pairs = zip(numbers[5:own:2], numbers[6:own:2], strict=True)
        more = zip(numbers[own::2], numbers[own + 1 :: 2], strict=True)
        return cls(
            etcd=numbers[0],
            etcd_peer=numbers[1],
            root_coord=numbers[2],
            root_coord_operations=numbers[3],
            backend=numbers[4],
            proxies=tuple(ProxyPorts(public, operations) for public, operations in pairs),
            more_root_coords=tuple(
                RootCoordPorts(internal, operations) for internal, operations in more
            ),
        )

    def with_changes(self, changes: Mapping[str, int]) -> "Ports":
        """Returns a copy with the ports of these names (those of `NAMES`) replaced.

        Names of a proxy or root coord mean the first one.
        """
        first, *others = self.proxies
        first = ProxyPorts(
            public=changes.get("proxy", first.public),
            operations=changes.get("proxy-operations", first.operations),
        )
        return replace(
            self,
            etcd=changes.get("etcd", self.etcd),
            etcd_peer=changes.get("etcd-peer", self.etcd_peer),
            root_coord=changes.get("root-coord", self.root_coord),
            root_coord_operations=changes.get("root-coord-operations", self.root_coord_operations),
            backend=changes.get("backend", self.backend),
            proxies=(first, *others),
        )

    def check_free(self, listen: str) -> None:
        """Checks that every port is free and that no two are the same.

        `listen` is the address of the proxies' public ports; all other ports are on loopback.

        Raises:
            LocalStackError: the text names every port in conflict, its use and how to change it.
        """
        taken: dict[int, str] = {}
        problems: dict[str, str] = {}
        for name, purpose, host, port in self._uses(listen):
            if port in taken:
                problems[name] = f"port {port} is wanted for {purpose} and for {taken[port]}"
                continue
            taken[port] = purpose
            reason = _why_not(host, port)
            if reason is not None:
                problems[name] = f"port {port} on {host}, wanted for {purpose}, {reason}"
        if problems:
            options = " ".join(f"--port {name}=NUMBER" for name in problems)
            others = "another" if len(problems) == 1 else "others"
            raise LocalStackError(
                f"{'; '.join(problems.values())}; choose {others}: make run RUN_ARGS='{options}'"
            )

    def _uses(self, listen: str) -> Iterator[tuple[str, str, str, int]]:
        for each in self.proxies:
            yield "proxy", NAMES["proxy"], listen, each.public
            yield "proxy-operations", NAMES["proxy-operations"], LOOPBACK, each.operations
        for another in self.more_root_coords:
            yield "root-coord", NAMES["root-coord"], LOOPBACK, another.internal
            yield (
                *("root-coord-operations", NAMES["root-coord-operations"]),
                *(LOOPBACK, another.operations),
            )
        for name, purpose in NAMES.items():
            if not name.startswith("proxy"):
                yield name, purpose, LOOPBACK, getattr(self, name.replace("-", "_"))


#: The names that `--port NAME=NUMBER` takes, and what each port is for.
NAMES: Mapping[str, str] = {
    "proxy": "the proxy, which clients connect to",
    "proxy-operations": "the proxy's health and metrics",
    "etcd": "etcd's clients",
    "etcd-peer": "etcd's peers",
    "root-coord": "root coord, which proxies connect to",
    "root-coord-operations": "root coord's health and metrics",
    "backend": "Milvus Lite, the backend",
}


def _why_not(host: str, port: int) -> str | None:
    """Returns why the port cannot be listened on; None if it can."""
    try:
        close_all(bound_sockets(Address(host, port), settings="--port"))
    except CannotListenError as error:
        return "is already in use" if error.is_taken else f"cannot be opened ({error.cause})"
    return None
