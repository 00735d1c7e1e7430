"""Which sockets an address stands for, and what is said when they cannot be had."""

import asyncio
import errno
import socket
from contextlib import contextmanager

import pytest

from vecguard import listening
from vecguard.addresses import Address
from vecguard.listening import CannotListenError, bound_sockets, close_all, listening_sockets

SETTINGS = "proxy.ip and proxy.port"


@contextmanager
def opened(host, port=0, **options):
    sockets = listening_sockets(Address(host, port), settings=SETTINGS, backlog=8, **options)
    try:
        yield sockets
    finally:
        close_all(sockets)


def complaint(host, port=0):
    with pytest.raises(CannotListenError) as caught:
        bound_sockets(Address(host, port), settings=SETTINGS)
    return caught.value


def address_seen(sockets, host):
    """How a client at `host` looks to the server."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    (ours,) = (each for each in sockets if each.family == family)
    ours.settimeout(5)
    with socket.create_connection((host, ours.getsockname()[1]), timeout=5):
        accepted, place = ours.accept()
        accepted.close()
        return place[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_accepted_connections_send_at_once(host):
    """An answer of several writes would wait 40 ms for the client's acknowledgement."""
    accepted = asyncio.get_running_loop().create_future()
    (listener,) = listening_sockets(Address(host, 0), settings=SETTINGS, backlog=8)
    server = await asyncio.start_server(lambda *ends: accepted.set_result(ends), sock=listener)
    async with server:
        _, client = await asyncio.open_connection(host, listener.getsockname()[1])
        _, ours = await accepted
        try:
            connection = ours.get_extra_info("socket")
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        finally:
            for end in (client, ours):
                end.close()
                await end.wait_closed()


@pytest.fixture
def without_ipv6(monkeypatch):
    """A kernel that has no sockets of IPv6."""

    class Socket(socket.socket):
        def __init__(self, family=-1, *arguments, **options):
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *arguments, **options)

    monkeypatch.setattr(listening.socket, "socket", Socket)


def test_two_colons_serve_ipv4_and_ipv6_at_one_port_and_addresses_stay_as_they_are():
    with opened("::") as sockets:
        assert len({each.getsockname()[1] for each in sockets}) == 1
        assert address_seen(sockets, "127.0.0.1") == "127.0.0.1"
        assert address_seen(sockets, "::1") == "::1"


def test_a_free_port_is_free_in_both_families(monkeypatch):
    """The port that is free for IPv6 is taken in IPv4."""
    plain, ports = socket.socket, []
    with plain() as other:

        class Socket(plain):
            def bind(self, place):
                if self.family == socket.AF_INET:
                    ports.append(place[1])
                    if len(ports) == 1:
                        other.bind(("127.0.0.1", place[1]))
                super().bind(place)

        monkeypatch.setattr(listening.socket, "socket", Socket)
        with opened("::") as sockets:
            (port,) = {each.getsockname()[1] for each in sockets}
        assert ports[-1] == port != other.getsockname()[1]


@pytest.mark.parametrize(
    ("host", "families"),
    [
        ("0.0.0.0", {socket.AF_INET}),
        ("127.0.0.1", {socket.AF_INET}),
        ("::1", {socket.AF_INET6}),
    ],
)
def test_any_other_address_is_of_one_family(host, families):
    with opened(host) as sockets:
        assert {each.family for each in sockets} == families


def test_a_shared_port_can_be_had_again_and_another_cannot():
    with opened("::", shares_port=True) as sockets:
        port = sockets[0].getsockname()[1]
        with opened("::", port, shares_port=True) as again:
            assert len(again) == 2
        error = complaint("::", port)
    assert error.is_taken
    assert error.message == (
        f"cannot listen on [::]:{port} (Address already in use); "
        "free it or set proxy.ip and proxy.port"
    )


@pytest.mark.parametrize("taken", ["127.0.0.1", "::1"])
def test_two_colons_need_both_families_free_and_leave_nothing_open(taken, monkeypatch):
    with opened(taken) as sockets:
        port = sockets[0].getsockname()[1]
        tried = []

        class Socket(socket.socket):
            def bind(self, place):
                tried.append(self)
                super().bind(place)

        monkeypatch.setattr(listening.socket, "socket", Socket)
        assert complaint("::", port).is_taken
    assert tried
    # Not by another attempt, whose port something else may have taken by now.
    assert all(each.fileno() == -1 for each in tried)


def test_a_machine_without_ipv6_is_named_with_what_to_set(without_ipv6):
    error = complaint("::", 19530)
    assert not error.is_taken
    assert error.message == (
        "cannot listen on [::]:19530 (this machine has no IPv6; 0.0.0.0 listens on every address "
        "of IPv4); set proxy.ip and proxy.port"
    )


def test_a_name_of_both_families_is_served_on_ipv4_alone_without_ipv6(without_ipv6, monkeypatch):
    places = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    ]
    monkeypatch.setattr(listening.socket, "getaddrinfo", lambda *_, **__: places)
    with opened("both.example.com") as sockets:
        assert [each.family for each in sockets] == [socket.AF_INET]
    del places[1]
    assert "no IPv6" in complaint("six.example.com").message


def test_an_address_of_another_machine_is_refused():
    assert "192.0.2.1:0 (Cannot assign requested address); set" in complaint("192.0.2.1").message
