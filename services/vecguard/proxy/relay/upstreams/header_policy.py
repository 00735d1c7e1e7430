"""What an upstream sees of a client's headers, and the fields that each request to it has."""

from dataclasses import dataclass

from vecguard.proxy.http2.hpack.fields import indexed, literal


@dataclass(frozen=True, slots=True)
class HeaderPolicy:
    """Which of a client's headers an upstream sees.

    Attributes:
        only: the names that pass; None lets everything pass.
        authorization: whether the client's credentials pass, too.
        shows_peer: whether the client's address is told, and the revision of the record by which
            its user was admitted.
    """

    only: frozenset[bytes] | None = None
    authorization: bool = False
    shows_peer: bool = False


def request_preface(scheme: bytes) -> bytes:
    """The fields that begin every request to an upstream."""
    return indexed(b":method", b"POST") + indexed(b":scheme", scheme)


def authority_field(authority: str) -> bytes:
    """The field that names the upstream to itself."""
    return literal(b":authority", authority.encode())
