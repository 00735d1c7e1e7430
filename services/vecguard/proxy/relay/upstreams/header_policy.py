"""The client headers that an upstream gets, and the fixed fields of each request to it."""

from dataclasses import dataclass

from vecguard.proxy.http2.hpack.fields import indexed, literal


@dataclass(frozen=True, slots=True)
class HeaderPolicy:
    """Selects the client headers that are forwarded to an upstream.

    Attributes:
        only: the names that are forwarded; None: all.
        authorization: whether the client's credentials are forwarded as well.
        shows_peer: whether the upstream gets the client's address, the revision of the record
            that admitted its user, and by what the call is allowed.
    """

    only: frozenset[bytes] | None = None
    authorization: bool = False
    shows_peer: bool = False


def request_preface(scheme: bytes) -> bytes:
    """Returns the fields that begin every request to an upstream."""
    return indexed(b":method", b"POST") + indexed(b":scheme", scheme)


def authority_field(authority: str) -> bytes:
    """Returns the `:authority` field of requests to an upstream."""
    return literal(b":authority", authority.encode())
