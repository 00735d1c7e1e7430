"""The headers in which the relay says who makes a call: written, stripped and read here alone.

An upstream may trust them, because the relay drops every header of a client that has such a name
or a name that an upstream may take for it: CGI and WSGI make variables of headers
(`HTTP_X_VECGUARD_USER`), in which `-` becomes `_`, as `.` and others do in PHP, and either of two
spellings may win there. Our own services read them at the other end of an in-process connection.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from vecguard.addresses import LOCAL, Address
from vecguard.proxy.http2.hpack.fields import literal

_USER: Final = b"x-vecguard-user"
_REVISION: Final = b"x-vecguard-revision"
_PEER: Final = b"x-vecguard-peer"
# An upstream that folds names maps all characters but letters and digits to one.
_FOLDED: Final = bytes(byte if bytes((byte,)).isalnum() else ord("_") for byte in range(256))
_RESERVED: Final = b"x-vecguard-".translate(_FOLDED)


@dataclass(frozen=True, slots=True)
class CallIdentity:
    """What the headers say of a call.

    Attributes:
        username: None if authorization is switched off.
        revision: of the record that admitted the user; 0 without a user.
        host: the client's IP address; None if it has none.
    """

    username: str | None
    revision: int
    host: str | None


def is_reserved(name: bytes) -> bool:
    """Returns whether an upstream may take a header of this name for one of these."""
    return name.translate(_FOLDED).startswith(_RESERVED)


@lru_cache(1024)
def user_field(username: str) -> bytes:
    """Returns the field with the user of a call."""
    return literal(_USER, username.encode())


def peer_fields(peer: str, revision: int) -> bytes:
    """Returns the fields with the client's address and the revision that admitted its user."""
    return literal(_PEER, peer.encode()) + literal(_REVISION, str(revision).encode())


def read_identity(metadata: Mapping[str, Any]) -> CallIdentity:
    """Returns what the relay has said in the metadata of a call to one of our own services."""
    peer = metadata.get(_PEER.decode())
    return CallIdentity(
        username=metadata.get(_USER.decode()) or None,
        revision=int(metadata.get(_REVISION.decode()) or 0),
        host=Address.parse(peer).host if peer and peer != LOCAL else None,
    )
