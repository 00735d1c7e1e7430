import socket

import pytest

from vecguard.errors import ConfigurationError
from vecguard.proxy.workers.reservation import reserved_port


def shared_listener(port, ip="127.0.0.1"):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((ip, port))
    listener.listen()
    return listener


def test_several_may_listen_on_a_reserved_port():
    with (
        reserved_port("127.0.0.1", 0, settings="proxy.port") as port,
        shared_listener(port),
        shared_listener(port),
    ):
        assert port > 0


def test_a_free_port_is_the_same_for_every_address_of_a_name():
    with reserved_port("localhost", 0, settings="proxy.port") as port, shared_listener(port):
        pass


def test_no_client_waits_at_a_reserved_port():
    with (
        reserved_port("127.0.0.1", 0, settings="proxy.port") as port,
        pytest.raises(ConnectionRefusedError),
    ):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_port_that_others_share_among_themselves_is_not_joined():
    with (
        reserved_port("127.0.0.1", 0, settings="proxy.port") as port,
        shared_listener(port),
        pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port}.*free it or set proxy.port"),
        reserved_port("127.0.0.1", port, settings="proxy.port"),
    ):
        pass


def test_an_address_of_another_machine_is_refused():
    with (
        pytest.raises(ConfigurationError, match=r"192\.0\.2\.1"),
        reserved_port("192.0.2.1", 0, settings="proxy.port"),
    ):
        pass


def test_the_port_is_free_afterwards():
    with reserved_port("127.0.0.1", 0, settings="proxy.port") as port:
        pass
    with socket.socket() as alone:
        alone.bind(("127.0.0.1", port))
