"""Where a request comes from, as far as fairness and limits tell clients apart.

An origin is the address of a client or, for work on behalf of a caller whose login is right
already, that user: so users behind one address are distinct, from strangers there as well.
"""

import ipaddress
from functools import lru_cache

from vecguard.addresses import LOCAL

_SITE_BITS = 64
# Of no address.
_USER = "user:"


def origin_of_user(username: str) -> str:
    """The origin of what a caller asks for whose login is right."""
    return _USER + username


def is_user(origin: str) -> bool:
    """Whether the origin is a user whose login is right."""
    return origin.startswith(_USER)


@lru_cache(4096)
def origin_of(host: str | None) -> str:
    """The IPv4 address, or the /64 of the IPv6 address; LOCAL without an address.

    All requests without an address have this one origin in common.

    One IPv6 customer has at least 2^64 addresses (RFC 6177), so that single ones mean
    nothing. An IPv4 address in IPv6's clothes (RFC 4291, section 2.5.5.2) is itself.
    """
    if not host:
        return LOCAL
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return LOCAL
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    # A scope (`%eth0`) names an interface of ours, not the client.
    network = int(address) >> _SITE_BITS << _SITE_BITS
    return f"{ipaddress.IPv6Address(network)}/{_SITE_BITS}"
