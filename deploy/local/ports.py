"""Assigns a port to each process of the local stack."""

import os
import random
import socket
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from deploy.local.errors import LocalStackError
from vecguard.addresses import Address
from vecguard.listening import CannotListenError, bound_sockets, close_all

LOOPBACK = "127.0.0.1"
#: Below the range that the kernel takes for outgoing connections (from 32768 on Linux), so that
#: a port stays free while the process that it is for is not running.
_CHOICE = range(20000, 32000)
_CLAIMS = 128
_LAST_PORT = 65535
_PROXY = "the proxy, which clients connect to"


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

    def shifted(self, offset: int) -> "Ports":
        """Returns a copy with `offset` added to every port.

        Raises:
            LocalStackError: a port would leave the range of TCP.
        """
        largest = _LAST_PORT - max(port for _, _, port in self._uses(LOOPBACK))
        if not 0 <= offset <= largest:
            raise LocalStackError(f"--port-offset must be a number from 0 to {largest}")
        return Ports(
            etcd=self.etcd + offset,
            etcd_peer=self.etcd_peer + offset,
            root_coord=self.root_coord + offset,
            root_coord_operations=self.root_coord_operations + offset,
            backend=self.backend + offset,
            proxies=tuple(
                ProxyPorts(each.public + offset, each.operations + offset) for each in self.proxies
            ),
            more_root_coords=tuple(
                RootCoordPorts(each.internal + offset, each.operations + offset)
                for each in self.more_root_coords
            ),
        )

    def with_proxy_port(self, port: int) -> "Ports":
        """Returns a copy in which the first proxy's public port is another one."""
        first, *others = self.proxies
        return replace(self, proxies=(replace(first, public=port), *others))

    def check_free(self, listen: str) -> None:
        """Checks that every port is free and that no two are the same.

        `listen` is the address of the proxies' public ports; all other ports are on loopback.

        Raises:
            LocalStackError: the text names every port in conflict, its use and what to do.
        """
        taken: dict[int, str] = {}
        problems: dict[str, str] = {}
        for purpose, host, port in self._uses(listen):
            if port in taken:
                problems[purpose] = f"port {port} is wanted for {purpose} and for {taken[port]}"
                continue
            taken[port] = purpose
            reason = _why_not(host, port)
            if reason is not None:
                problems[purpose] = f"port {port} on {host}, wanted for {purpose}, {reason}"
        if problems:
            # Another offset alone means another data directory, too.
            others = "--port-offset 100 --data-dir data"
            options = "--proxy-port NUMBER" if set(problems) == {_PROXY} else others
            raise LocalStackError(
                f"{'; '.join(problems.values())}; choose others: make run RUN_ARGS='{options}'"
            )

    def _uses(self, listen: str) -> Iterator[tuple[str, str, int]]:
        for proxy in self.proxies:
            yield _PROXY, listen, proxy.public
            yield "the proxy's health and metrics", LOOPBACK, proxy.operations
        for root_coord in self.root_coords:
            yield "root coord, which proxies connect to", LOOPBACK, root_coord.internal
            yield "root coord's health and metrics", LOOPBACK, root_coord.operations
        yield "etcd's clients", LOOPBACK, self.etcd
        yield "etcd's peers", LOOPBACK, self.etcd_peer
        yield "Milvus Lite, the backend", LOOPBACK, self.backend


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
        close_all(bound_sockets(Address(host, port), settings="--port-offset"))
    except CannotListenError as error:
        return "is already in use" if error.is_taken else f"cannot be opened ({error.cause})"
    return None
