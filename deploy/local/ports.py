"""Assigns a port to each process of the local stack."""

import os
import random
import socket
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from deploy.local.errors import LocalStackError
from vecguard.addresses import Address
from vecguard.listening import CannotListenError, bound_sockets, close_all

LOOPBACK = "127.0.0.1"
#: Below the range that the kernel takes for outgoing connections (from 32768 on Linux), so that
#: a port stays free while the process that it is for is not running.
_CHOICE = range(20000, 32000)
_CLAIMS = 128


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
        numbers = free_ports(own + 2 * (root_coords - 1))
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


#: Descriptors of the newest claims. A UDP socket on a port's number disturbs no TCP, keeps every
#: other process from claiming the same number, and is closed when this process ends.
_claims: deque[int] = deque()


def free_ports(count: int) -> tuple[int, ...]:
    """TCP ports of loopback that nothing listens on, each given to one process at a time.

    Test runs that go on at the same time choose their ports here: they never choose the same,
    though a port is listened on only later. The newest 128 of a process stay its own.

    Raises:
        LocalStackError: too few are free.
    """
    found: list[int] = []
    for port in random.sample(_CHOICE, len(_CHOICE)):
        if len(found) == count:
            break
        claim = _claimed(port)
        if claim is not None:
            _claims.append(claim)
            found.append(port)
    if len(found) < count:
        raise LocalStackError(f"no {count} free ports from {_CHOICE[0]} to {_CHOICE[-1]}")
    while len(_claims) > _CLAIMS:
        os.close(_claims.popleft())
    return tuple(found)


def _claimed(port: int) -> int | None:
    """The descriptor that keeps the port this process's own; None if something has it."""
    claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        claim.bind((LOOPBACK, port))
        with socket.socket() as listener:
            listener.bind((LOOPBACK, port))
    except OSError:
        claim.close()
        return None
    return claim.detach()


def _why_not(host: str, port: int) -> str | None:
    """Returns why the port cannot be listened on; None if it can."""
    try:
        close_all(bound_sockets(Address(host, port), settings="--port"))
    except CannotListenError as error:
        return "is already in use" if error.is_taken else f"cannot be opened ({error.cause})"
    return None
