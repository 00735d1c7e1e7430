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
from urllib.parse import quote, unquote

from vecguard.addresses import LOCAL
from vecguard.proxy.http2.hpack.fields import literal
from vecguard.proxy.principal import ANONYMOUS, Authority, Principal

_USER: Final = b"x-vecguard-user"
_REVISION: Final = b"x-vecguard-revision"
_PEER: Final = b"x-vecguard-peer"
_AUTHORITY: Final = b"x-vecguard-authority"
# The database of calls without the header `dbname`, as in Milvus.
_DEFAULT_DATABASE: Final = "default"
# An upstream that folds names maps all characters but letters and digits to one.
_FOLDED: Final = bytes(byte if bytes((byte,)).isalnum() else ord("_") for byte in range(256))
_RESERVED: Final = b"x-vecguard-".translate(_FOLDED)


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of one of our own services.

    Attributes:
        host: the client's IP address; None if it has none.
        database: the database that the client names; its own header, which proves nothing.
    """

    principal: Principal
    host: str | None = None
    database: str = _DEFAULT_DATABASE


def is_reserved(name: bytes) -> bool:
    """Returns whether an upstream may take a header of this name for one of these."""
    return name.translate(_FOLDED).startswith(_RESERVED)


def identity_fields(principal: Principal) -> bytes:
    """Returns the fields of a call: its user, unless it is anonymous."""
    return _user_field(principal.username) if principal.username else b""


def origin_fields(principal: Principal, host: str | None) -> bytes:
    """Returns the fields that only our own services get; `host` is the client's IP address."""
    return literal(_PEER, (host or LOCAL).encode()) + literal(
        _REVISION, str(principal.revision).encode()
    )


def authority_field(authority: Authority) -> bytes:
    """Returns the field that tells our own services by which role a call is allowed."""
    # A role of an earlier Milvus may have any name; gRPC's headers are ASCII.
    return literal(_AUTHORITY, f"{authority.policy_revision} {quote(authority.role)}".encode())


def read_caller(metadata: Mapping[str, Any]) -> Caller:
    """Returns the caller that the relay has written into the metadata of a call."""
    username = metadata.get(_USER.decode())
    peer = metadata.get(_PEER.decode())
    authority = _authority(metadata.get(_AUTHORITY.decode()))
    return Caller(
        Principal(username, int(metadata.get(_REVISION.decode()) or 0), authority)
        if username
        else ANONYMOUS,
        host=peer if peer and peer != LOCAL else None,
        database=metadata.get("dbname") or _DEFAULT_DATABASE,
    )


def user_metadata(principal: Principal) -> dict[str, str]:
    """Returns what `identity_fields` does, as metadata of a call that this process makes itself."""
    return {_USER.decode(): principal.username} if principal.username else {}


def _authority(value: str | None) -> Authority | None:
    if not value:
        return None
    revision, _, role = value.partition(" ")
    return Authority(unquote(role), int(revision))


@lru_cache(1024)
def _user_field(username: str) -> bytes:
    return literal(_USER, username.encode())
