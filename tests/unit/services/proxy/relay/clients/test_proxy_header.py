"""The header of the PROXY protocol, from balancers and from attackers."""

import ipaddress
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proxy_headers import SIGNATURE, addresses, v2
from vecguard.proxy.relay.clients.proxy_header import (
    MAX_BYTES,
    MalformedProxyHeaderError,
    MissingProxyHeaderError,
    ProxyHeader,
    ProxyHeaderError,
    begins_header,
    crc32c,
    read_header,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def with_checksum(kind, body, *, wrong=0):
    begun = v2(kind, body + tlv(3, bytes(4)))
    return begun[:-4] + (crc32c(begun) ^ wrong).to_bytes(4)


V1 = b"PROXY TCP4 192.0.2.1 198.51.100.1 50000 19530\r\n"
V2 = v2(0x11, addresses("192.0.2.1"))
SIX = addresses("2001:db8::7", "2001:db8::1")
READ = [
    pytest.param(V1, ("192.0.2.1", 50000), id="TCP4"),
    pytest.param(
        b"PROXY TCP6 2001:DB8:0::7 2001:db8::1 1 19530\r\n", ("2001:db8::7", 1), id="TCP6"
    ),
    pytest.param(
        b"PROXY TCP6 ::ffff:192.0.2.1 ::1 0 65535\r\n", ("192.0.2.1", 0), id="TCP6 mapped"
    ),
    pytest.param(b"PROXY UNKNOWN\r\n", None, id="UNKNOWN"),
    pytest.param(b"PROXY UNKNOWN anything at all\r\n", None, id="UNKNOWN with more"),
    pytest.param(V2, ("192.0.2.1", 50000), id="v2 IPv4"),
    pytest.param(v2(0x21, SIX), ("2001:db8::7", 50000), id="v2 IPv6"),
    pytest.param(
        v2(0x21, addresses("::ffff:192.0.2.1", "::1")), ("192.0.2.1", 50000), id="v2 mapped"
    ),
    pytest.param(
        v2(0x11, addresses("192.0.2.1") + tlv(0xEA, b"vpce-1") + tlv(4, b"")),
        ("192.0.2.1", 50000),
        id="v2 extensions",
    ),
    pytest.param(
        with_checksum(0x11, addresses("192.0.2.1")), ("192.0.2.1", 50000), id="v2 checksum"
    ),
    pytest.param(v2(0x00), None, id="v2 UNSPEC"),
    pytest.param(v2(0x00, tlv(1, b"h2")), None, id="v2 UNSPEC with extensions"),
    pytest.param(v2(0x12, bytes(12)), None, id="v2 UDP"),
    pytest.param(v2(0x31, bytes(216)), None, id="v2 Unix socket"),
    pytest.param(v2(0x00, command=0x20), None, id="v2 LOCAL"),
    pytest.param(v2(0x11, addresses("192.0.2.1"), command=0x20), None, id="v2 LOCAL, address"),
    pytest.param(v2(0xFF, b"what it is is ignored", command=0x20), None, id="v2 LOCAL, junk"),
]
MALFORMED = [
    (b"PROXY TCP5 192.0.2.1 198.51.100.1 50000 19530\r\n", "neither TCP4"),
    (b"PROXY \r\n", "neither TCP4"),
    (b"PROXY  TCP4 192.0.2.1 198.51.100.1 1 2\r\n", "neither TCP4"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.1 50000\r\n", "two ports"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.1 50000 19530 \r\n", "two ports"),
    (b"PROXY TCP4 192.0.2.1  198.51.100.1 50000 19530\r\n", "two ports"),
    (b"PROXY TCP4 ::1 198.51.100.1 50000 19530\r\n", "not one of its family"),
    (b"PROXY TCP4 ::192.0.2.1 198.51.100.1 50000 19530\r\n", "not one of its family"),
    (b"PROXY TCP6 192.0.2.1 ::1 50000 19530\r\n", "not one of its family"),
    (b"PROXY TCP6 fe80::1%eth0 ::1 50000 19530\r\n", "not one of its family"),
    (b"PROXY TCP4 192.0.2.1 example.com 50000 19530\r\n", "not one of its family"),
    (b"PROXY TCP4 192.0.2.\xb9 198.51.100.1 50000 19530\r\n", "not one of its family"),
    (b"PROXY TCP4 192.0.2.01 198.51.100.1 50000 19530\r\n", "not one of its family"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.1 65536 19530\r\n", "a port"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.1 050 19530\r\n", "a port"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.1 -1 19530\r\n", "a port"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.1 1 \xb2\r\n", "a port"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.1 1 999999\r\n", "a port"),
    (b"PROXY UNKNOWN " + b"x" * 93, "107 bytes"),
    (b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", "107 bytes"),
    (v2(0x11, addresses("192.0.2.1"), command=0x11), "version or command"),
    (v2(0x11, addresses("192.0.2.1"), command=0x22), "version or command"),
    (v2(0x13, bytes(12)), "family or transport"),
    (v2(0x10, bytes(12)), "family or transport"),
    (v2(0x41, bytes(36)), "family or transport"),
    (v2(0x11, bytes(11)), "too short"),
    (v2(0x21, bytes(35)), "too short"),
    (v2(0x11, size=0xFFFF), "more than"),
    (v2(0x00, size=0xFFFF, command=0x20), "more than"),
    (v2(0x11, addresses("192.0.2.1") + b"\x04"), "an extension"),
    (v2(0x11, addresses("192.0.2.1") + b"\x04\x00"), "an extension"),
    (v2(0x11, addresses("192.0.2.1") + b"\x04\x00\x05abcd"), "an extension"),
    (with_checksum(0x11, addresses("192.0.2.1"), wrong=1), "checksum is wrong"),
    (v2(0x11, addresses("192.0.2.1") + tlv(3, bytes(3))), "four bytes"),
    (with_checksum(0x11, addresses("192.0.2.1") + tlv(3, bytes(4))), "four bytes"),
]


@pytest.mark.parametrize(("data", "source"), READ)
def test_a_header_is_read_however_it_is_cut_and_nothing_after_it(data, source):
    header = ProxyHeader(len(data), source)
    for cut in range(len(data)):
        assert read_header(data[:cut]) is None
    for rest in (b"", b"P", V1, V2, PREFACE, CLIENT_HELLO):
        assert read_header(data + rest) == header


@pytest.mark.parametrize(("data", "complaint"), MALFORMED)
def test_a_malformed_header_is_refused_for_its_reason_and_never_taken(data, complaint):
    with pytest.raises(MalformedProxyHeaderError, match=complaint):
        read_header(data)
    for cut in range(len(data)):
        with suppress(MalformedProxyHeaderError):
            assert read_header(data[:cut]) is None


@pytest.mark.parametrize(
    "data",
    [
        PREFACE,
        CLIENT_HELLO,
        b"GET / HTTP/1.1\r\n",
        b"\0",
        b"PROXY\r\n",
        b"\r\n\r\nQUIT\n",
        b"proxy ",
    ],
)
def test_something_else_is_no_header(data):
    assert not begins_header(data)
    with pytest.raises(MissingProxyHeaderError):
        read_header(data)


def test_a_signature_is_known_as_soon_as_it_is_whole():
    for signature in (b"PROXY ", SIGNATURE):
        assert begins_header(signature)
        assert begins_header(signature + b"more")
        assert not begins_header(signature[:-1])


def test_the_longest_line_of_the_specification_is_read():
    word = b":".join([b"ffff"] * 8)
    line = b"PROXY UNKNOWN %b %b 65535 65535\r\n" % (word, word)
    assert len(line) == 107
    assert read_header(line + V1) == ProxyHeader(107, None)


def test_the_longest_header_is_read():
    room = MAX_BYTES - len(V2) - 3
    longest = v2(0x11, addresses("192.0.2.1") + tlv(0xE0, bytes(room)))
    assert read_header(longest) == ProxyHeader(MAX_BYTES, ("192.0.2.1", 50000))
    with pytest.raises(MalformedProxyHeaderError, match="more than 4096"):
        read_header(v2(0x11, addresses("192.0.2.1") + tlv(0xE0, bytes(room + 1))))


def test_the_checksum_is_that_of_the_specification():
    # RFC 3720, appendix B.4.
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(bytes(range(32))) == 0x46DD794E


@given(
    st.binary(max_size=80), st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE + b"\x21"])
)
def test_any_bytes_are_a_header_or_refused_or_wait_for_more(junk, beginning):
    data = beginning + junk
    try:
        header = read_header(data)
    except ProxyHeaderError:
        return
    if header is None:
        assert len(data) < MAX_BYTES
    else:
        assert 0 < header.size <= len(data)
        assert header.source is None or ipaddress.ip_address(header.source[0])
