"""Headers of the PROXY protocol, as balancers write them."""

import ipaddress
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TCP4, TCP6 = 0x11, 0x21
PROXY, LOCAL = 0x21, 0x20


def v1(source: str) -> bytes:
    """A line of version 1 for a client of IPv4."""
    return b"PROXY TCP4 %b 198.51.100.1 50000 19530\r\n" % source.encode()


def v2(kind: int, body: bytes = b"", *, command: int = PROXY, size: int | None = None) -> bytes:
    """A header of version 2 with this family and transport; `size` is a false length."""
    length = len(body) if size is None else size
    return SIGNATURE + struct.pack(">BBH", command, kind, length) + body


def addresses(source: str, destination: str = "198.51.100.1", port: int = 50000) -> bytes:
    """The addresses in a header of version 2."""
    packed = (ipaddress.ip_address(each).packed for each in (source, destination))
    return b"".join(packed) + struct.pack(">HH", port, 19530)
