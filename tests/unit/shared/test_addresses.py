import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.addresses import Address, InvalidAddressError, is_loopback, parse_host


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:2379", Address("localhost", 2379)),
        ("etcd-0.etcd:2379", Address("etcd-0.etcd", 2379)),
        ("10.0.0.1:1", Address("10.0.0.1", 1)),
        ("[::1]:65535", Address("::1", 65535)),
    ],
)
def test_an_address_is_read_and_written_back(text, address):
    assert Address.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
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
def test_anything_else_is_refused_and_the_error_says_what_is_expected(text):
    with pytest.raises(InvalidAddressError, match=r"host:port|port must be|brackets") as refusal:
        Address.parse(text)
    assert repr(text) in refusal.value.message


@given(st.ip_addresses(), st.integers(1, 65535))
def test_writing_and_reading_are_each_others_reverse(ip, port):
    assert Address.parse(str(Address(str(ip), port))) == Address(str(ip), port)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *(("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True)),
        *(("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("etcd-0", False)),
    ],
)
def test_only_loopback_addresses_and_their_name_are_loopback(host, expected):
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("::", "::"),
        ("[::]", "::"),
        ("::0", "::"),
        ("0:0:0:0:0:0:0:0", "::"),
        ("[2001:DB8:0::1]", "2001:db8::1"),
        ("[fe80::1%eth0]", "fe80::1%eth0"),
        ("FE80:0::1%eth0", "fe80::1%eth0"),
        ("0.0.0.0", "0.0.0.0"),
        ("proxy.example.com", "proxy.example.com"),
    ],
)
def test_a_host_to_listen_on_is_read_with_and_without_brackets(text, host):
    assert parse_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "0.0.0.0,::", "0.0.0.0:19530", "[::]:19530", "[0.0.0.0]", "[::", "http://a"),
        *("*", "0", "127.1", "1.2.3.256"),
    ],
)
def test_what_is_no_single_host_is_refused(text):
    with pytest.raises(InvalidAddressError, match="is not an address: expected"):
        parse_host(text)


def test_the_error_for_a_star_names_the_address_that_means_everywhere():
    with pytest.raises(InvalidAddressError, match="expected :: for every address"):
        parse_host("*")
