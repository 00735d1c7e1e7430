"""Reads the header of the PROXY protocol, by which a load balancer says who its client is.

The source is HAProxy's specification, "The PROXY protocol, versions 1 & 2" of 2020/03/05. Bytes
come in, the header comes out.
"""

import ipaddress
from dataclasses import dataclass
from typing import Final

from vecguard.networks import usual_form

#: The most bytes of a header. The specification wants 536 at most; certificates of clients make
#: headers of version 2 longer.
MAX_BYTES: Final = 4096

_V1: Final = b"PROXY "
_V1_MAX_BYTES: Final = 107
_V1_FAMILIES: Final[dict[bytes, type[ipaddress.IPv4Address | ipaddress.IPv6Address]]] = {
    b"TCP4": ipaddress.IPv4Address,
    b"TCP6": ipaddress.IPv6Address,
}
_PORTS: Final = range(65536)

_V2: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED_BYTES: Final = 16
#: The bytes by which `begins_header` knows both versions.
SIGNATURE_BYTES: Final = len(_V2)
_VERSION: Final = 0x20
_LOCAL: Final = 0
_PROXY: Final = 1
_TCP4: Final = 0x11
_TCP6: Final = 0x21
# UNSPEC, UDP and Unix sockets: valid, but nothing that a client of this port can have.
_WITHOUT_ADDRESS: Final = frozenset((0x00, 0x12, 0x22, 0x31, 0x32))
#: By the byte of family and transport: the bytes of two addresses and, for IP, two ports.
_ADDRESS_BYTES: Final = {0x00: 0, 0x11: 12, 0x12: 12, 0x21: 36, 0x22: 36, 0x31: 216, 0x32: 216}
_TLV_HEAD_BYTES: Final = 3
_CRC32C: Final = 0x03
_CRC32C_BYTES: Final = 4
_CASTAGNOLI: Final = 0x82F63B78


class ProxyHeaderError(Exception):
    """The bytes are not a header that counts; the text says why."""


class MissingProxyHeaderError(ProxyHeaderError):
    """The bytes are something else than a PROXY header."""

    def __init__(self) -> None:
        super().__init__("the connection does not begin with a PROXY header")


class MalformedProxyHeaderError(ProxyHeaderError):
    """The PROXY header breaks the specification."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What the header says.

    Attributes:
        size: its length in bytes.
        source: the client's address and port; None if the balancer names none, as for its own
            health checks.
    """

    size: int
    source: tuple[str, int] | None


def begins_header(data: bytes) -> bool:
    """Returns whether these bytes begin with the signature of either version."""
    return data.startswith((_V1, _V2))


def read_header(data: bytes) -> ProxyHeader | None:
    """Returns the header at the beginning of the bytes; None if it is not complete yet.

    Raises:
        MissingProxyHeaderError: the bytes do not begin with one.
        MalformedProxyHeaderError: it breaks the specification, or is longer than MAX_BYTES.
    """
    if _V2.startswith(data[: len(_V2)]):
        return _read_v2(data)
    if _V1.startswith(data[: len(_V1)]):
        return _read_v1(data)
    raise MissingProxyHeaderError


def _read_v1(data: bytes) -> ProxyHeader | None:
    """Reads a line such as `PROXY TCP4 192.0.2.1 198.51.100.1 50000 19530` (section 2.1)."""
    end = data.find(b"\r\n", 0, _V1_MAX_BYTES)
    if end < 0:
        if len(data) >= _V1_MAX_BYTES:
            raise MalformedProxyHeaderError(f"its line has more than {_V1_MAX_BYTES} bytes")
        return None
    words = data[len(_V1) : end].split(b" ")
    size = end + 2
    if words[0] == b"UNKNOWN":  # whatever follows is to be ignored
        return ProxyHeader(size, None)
    family = _V1_FAMILIES.get(words[0])
    if family is None:
        raise MalformedProxyHeaderError("it names neither TCP4 nor TCP6 nor UNKNOWN")
    try:
        _, source, destination, source_port, destination_port = words
    except ValueError:
        raise MalformedProxyHeaderError("it needs two addresses and two ports") from None
    host = _v1_host(family, source)
    _v1_host(family, destination)
    port = _v1_port(source_port)
    _v1_port(destination_port)
    return ProxyHeader(size, (host, port))


def _v1_host(family: type[ipaddress.IPv4Address | ipaddress.IPv6Address], word: bytes) -> str:
    try:
        if b"%" in word:  # a zone, which means something on one machine only
            raise ValueError
        return usual_form(family(word.decode("ascii")))
    except ValueError:
        raise MalformedProxyHeaderError("an address is not one of its family") from None


def _v1_port(word: bytes) -> int:
    port = int(word) if word.isdigit() and len(word) <= len("65535") else -1
    if port not in _PORTS or str(port).encode() != word:
        raise MalformedProxyHeaderError("a port is no number from 0 to 65535")
    return port


def _read_v2(data: bytes) -> ProxyHeader | None:
    """Reads a binary header (section 2.2)."""
    if len(data) < _V2_FIXED_BYTES:
        return None
    version_and_command, kind = data[12], data[13]
    size = _V2_FIXED_BYTES + int.from_bytes(data[14:16])
    command = version_and_command ^ _VERSION
    if command not in (_LOCAL, _PROXY):
        raise MalformedProxyHeaderError("its version or command is unknown")
    if size > MAX_BYTES:
        raise MalformedProxyHeaderError(f"it has {size} bytes, more than {MAX_BYTES}")
    if command == _PROXY:
        needed = _ADDRESS_BYTES.get(kind)
        if needed is None:
            raise MalformedProxyHeaderError("its address family or transport is unknown")
        if size < _V2_FIXED_BYTES + needed:
            raise MalformedProxyHeaderError("it is too short for its addresses")
    if len(data) < size:
        return None
    if command == _LOCAL:  # also its addresses are to be ignored
        return ProxyHeader(size, None)
    header = data[:size]
    _check_extensions(header, _V2_FIXED_BYTES + _ADDRESS_BYTES[kind])
    return ProxyHeader(size, _v2_source(kind, header[_V2_FIXED_BYTES:]))


def _v2_source(kind: int, addresses: bytes) -> tuple[str, int] | None:
    if kind == _TCP4:
        return str(ipaddress.IPv4Address(addresses[:4])), int.from_bytes(addresses[8:10])
    if kind == _TCP6:
        host = usual_form(ipaddress.IPv6Address(addresses[:16]))
        return host, int.from_bytes(addresses[32:34])
    return None


def _check_extensions(header: bytes, at: int) -> None:
    """Checks the extensions (TLVs) from `at` on: their lengths, and their checksum."""
    checksum: slice | None = None
    while at < len(header):
        begin = at + _TLV_HEAD_BYTES
        end = begin + int.from_bytes(header[begin - 2 : begin])
        if begin > len(header) or end > len(header):
            raise MalformedProxyHeaderError("an extension is longer than the header")
        if header[at] == _CRC32C:
            if checksum is not None or end - begin != _CRC32C_BYTES:
                raise MalformedProxyHeaderError("its checksum is not one of four bytes")
            checksum = slice(begin, end)
        at = end
    if checksum is not None:
        blank = header[: checksum.start] + bytes(_CRC32C_BYTES) + header[checksum.stop :]
        if header[checksum] != crc32c(blank).to_bytes(4):
            raise MalformedProxyHeaderError("its checksum is wrong")


def crc32c(data: bytes) -> int:
    """Returns the CRC-32C of RFC 4960, appendix B."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_CASTAGNOLI if byte & 1 else 0)
    return byte


_CRC_TABLE: Final = tuple(map(_crc_of, range(256)))
