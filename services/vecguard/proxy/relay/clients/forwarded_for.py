"""Finds the client of a call in `x-forwarded-for`, for balancers that end HTTP/2 themselves.

Each proxy on the way appends the address of the peer that it got the request from, so what the
client itself has written stands on the left, and only the entries of our own proxies, on the right,
can be believed.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from vecguard.networks import parse_ip

X_FORWARDED_FOR: Final = b"x-forwarded-for"

# An IPv6 address in brackets with a port has 47 at most.
_MAX_ENTRY_BYTES: Final = 64


def forwarded_host(values: Sequence[bytes], hops: int) -> str | None:
    """Returns the entry that the outermost of `hops` trusted proxies has appended, as an address.

    Several values count as one, joined in their order (RFC 9110, section 5.3).

    Returns None if there are fewer entries, or if this one is no IP address.
    """
    entries = b",".join(values).rsplit(b",", hops)
    if len(entries) < hops or not values:
        return None
    # Without a comma on its left it is the first of all.
    entry = entries[-hops].strip(b" \t")
    return _host(entry) if len(entry) <= _MAX_ENTRY_BYTES else None


@lru_cache(4096)
def _host(entry: bytes) -> str | None:
    """Returns the address of an entry, which some balancers write with its port."""
    text = entry.decode("latin-1")
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        is_valid = bracket and ":" in host and (not port or (port[0] == ":" and _is_port(port[1:])))
        return parse_ip(host) if is_valid else None
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return parse_ip(host) if _is_port(port) else None
    return parse_ip(text)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit()
