"""Parses IP networks of a configuration, and finds addresses in them."""

import ipaddress
from collections.abc import Iterable
from typing import Self

from vecguard.errors import ConfigurationError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


class InvalidNetworkError(ConfigurationError, ValueError):
    """The text is not a network. It is a ValueError for code that validates settings."""


def parse_network(text: str) -> Network:
    """Parses a network (`10.0.0.0/8`, `2001:db8::/32`) or a single address.

    A network of IPv4-mapped addresses (RFC 4291, section 2.5.5.2) is returned as that of IPv4.

    Raises:
        InvalidNetworkError: the text has another form, or bits are set after the prefix; the error
            shows the text and says what is expected.
    """
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise InvalidNetworkError(_complaint(text)) from None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        address = int(network.network_address) & 0xFFFFFFFF
        return ipaddress.IPv4Network((address, network.prefixlen - _MAPPED.prefixlen))
    return network


def parse_ip(text: str) -> str | None:
    """Returns an IP address in its usual form; None if the text is none.

    An IPv4-mapped IPv6 address is returned as the IPv4 address. An address with a zone (`%eth0`)
    means something on one machine only, and is none here.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if "%" in text else usual_form(address)


def usual_form(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Returns the address as text; an IPv4-mapped IPv6 address as the IPv4 address."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


class Networks:
    """A set of networks. `host in networks` says whether one of them has the address."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self._networks = tuple(networks)

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Self:
        """Parses each text by `parse_network`. Raises InvalidNetworkError."""
        return cls(parse_network(text) for text in texts)

    def __contains__(self, host: str) -> bool:
        if not self._networks:
            return False
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            return any(address.ipv4_mapped in network for network in self._networks)
        return any(address in network for network in self._networks)


def _complaint(text: str) -> str:
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return (
            f"{text!r} is no IP network: expected an address and a prefix, for example "
            "10.0.0.0/8 or 2001:db8::/32, or one address"
        )
    return f"{text!r} is no IP network: bits are set after the prefix; {meant} is the network"
