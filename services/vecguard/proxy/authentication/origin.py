"""Maps requests to origins, which are the units of fairness and limits.

An origin is the address of a client or, for work of a caller whose login is right, its user. So
users behind one address are distinct from each other, and from unknown logins of that address.
"""

import ipaddress
from functools import lru_cache

from vecguard.addresses import LOCAL

_SITE_BITS = 64
# No address begins with it.
_USER = "user:"


def origin_of_user(username: str) -> str:
    """Returns the origin of requests of a user whose login is right."""
    return _USER + username


def is_user(origin: str) -> bool:
    """Returns whether the origin is a user whose login is right."""
    return origin.startswith(_USER)


@lru_cache(4096)
def origin_of(host: str | None) -> str:
    """Returns the IPv4 address, or the /64 of the IPv6 address; LOCAL without an address.

    All requests without an address share the origin LOCAL.

    One IPv6 customer has at least 2^64 addresses (RFC 6177), so single ones do not identify a
    client. An IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2) counts as the IPv4 address.
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
    # A scope (`%eth0`) names an interface of this machine, not the client.
    network = int(address) >> _SITE_BITS << _SITE_BITS
    return f"{ipaddress.IPv6Address(network)}/{_SITE_BITS}"
