"""Parses addresses to listen on or connect to: `host:port`, as in a configuration."""

import ipaddress
from dataclasses import dataclass
from typing import Final, Self

from vecguard.errors import ConfigurationError

_PORTS: Final = range(1, 65536)
_PORT_DIGITS: Final = 5
_FOREIGN: Final = frozenset(" /[],@")

#: The address of a peer without a network, such as over a socket pair.
LOCAL: Final = "local"


class InvalidAddressError(ConfigurationError, ValueError):
    """The text is not an address. It is a ValueError for code that validates settings."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or IP address and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses `host:port` or `[ipv6]:port`; the port is from 1 to 65535.

        Raises:
            InvalidAddressError: the text has another form; the error shows the text and the form.
        """
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise _invalid(text, "write an IPv6 address in brackets, and no scheme such as http://")
        if not colon or not host.strip() or not host.isprintable() or _FOREIGN & set(host):
            raise _invalid(text, "expected host:port, for example etcd-0:2379 or [::1]:2379")
        is_number = port.isascii() and port.isdigit() and len(port) <= _PORT_DIGITS
        if not is_number or int(port) not in _PORTS:
            raise _invalid(text, "the port must be a number from 1 to 65535")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Returns whether `host`, an IP address or name, means this machine. Does not resolve names."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_host(text: str) -> str:
    """Parses a host alone: a name, an IPv4 address, or an IPv6 address with or without brackets.

    Returns it without brackets, an IPv6 address in its short form (RFC 5952), so that equal
    addresses are equal texts.

    Raises:
        InvalidAddressError: the text has another form, such as an address with a port, `*`, or one
            of the short forms of IPv4 such as `0` and `127.1`, which only some systems read.
    """
    is_bracketed = text.startswith("[") and text.endswith("]")
    host = text[1:-1] if is_bracketed else text
    if is_bracketed or ":" in host:
        try:
            return ipaddress.IPv6Address(host).compressed
        except ValueError:
            raise _invalid(text, "expected an IPv6 address or a host, without a port") from None
    if host == "*":
        raise _invalid(text, "expected :: for every address of IPv4 and IPv6, or one address")
    if host.isascii() and host.replace(".", "").isdigit():
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise _invalid(text, "expected an IPv4 address as four numbers") from None
    if not host or not host.isprintable() or _FOREIGN & set(host):
        raise _invalid(text, "expected one host name or IP address")
    return host


def _invalid(text: str, reason: str) -> InvalidAddressError:
    return InvalidAddressError(f"{text!r} is not an address: {reason}")
