import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.config.addresses import join_address, split_address


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("localhost:2379", ("localhost", 2379)),
        ("10.0.0.1:1", ("10.0.0.1", 1)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_host_and_port_are_taken_apart(address, parts):
    assert split_address(address) == parts


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost",
        ":2379",
        "localhost:",
        "localhost:0",
        "localhost:65536",
        "localhost:9999999999",
        "localhost:-1",
        "localhost:٣",
        "::1:2379",
        "[]:1",
        "http://localhost:2379",
        "user@host:1",
        "host/path:1",
        "a b:1",
    ],
)
def test_anything_else_is_refused(address):
    with pytest.raises(ValueError, match=r"host:port|port must be|brackets"):
        split_address(address)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_joining_and_splitting_are_each_others_reverse(ip, port):
    assert split_address(join_address(str(ip), port)) == (str(ip), port)
