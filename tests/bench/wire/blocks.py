"""The header blocks of a call as grpcio (and so pymilvus) writes them, and the answers'.

grpcio puts what repeats into the dynamic table at a connection's first call and names it by
its index from then on; metadata that a caller adds is written out in every call, and the
login with it. pymilvus adds an id and a time to each call, so no two blocks are alike.
"""

from hpack import Decoder
from hpack.table import HeaderTable

from tests.bench.wire.frames import literal

_POST, _HTTP, _HTTPS = b"\x83", b"\x86", b"\x87"
_FIRST_DYNAMIC_INDEX = 62
USER_AGENT = b"grpc-python/1.85.3 grpc-c/58.0.0 (linux; chttp2)"
OK, HTTP_OK = (b"grpc-status", b"0"), (b":status", b"200")

Header = tuple[bytes, bytes]


class RequestBlocks:
    """The block of a connection's first call, and the pattern of the later ones.

    Attributes:
        later: with two gaps for `%`: the id (32 bytes) and the time (13 bytes).
    """

    def __init__(
        self, path: bytes, authority: bytes, authorization: bytes | None, *, encrypted: bool
    ) -> None:
        repeated = (
            (b":path", path),
            (b":authority", authority),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
            (b"grpc-accept-encoding", b"identity, deflate, gzip"),
            (b"user-agent", USER_AGENT),
        )
        constant = _POST + (_HTTPS if encrypted else _HTTP)
        newest = _FIRST_DYNAMIC_INDEX + len(repeated) - 1
        own = b"" if authorization is None else literal(b"authorization", authorization)
        self.first = b"".join(
            (
                *(literal(*field, indexed=True) for field in repeated[:2]),
                constant,
                *(literal(*field, indexed=True) for field in repeated[2:]),
                own,
                literal(b"client-request-id", b"0" * 32),
                literal(b"client-request-unixmsec", b"0" * 13),
            )
        )
        indices = bytes(0x80 | newest - number for number in range(len(repeated)))
        self.later = b"".join(
            (
                indices[:2],
                constant,
                indices[2:],
                own.replace(b"%", b"%%"),
                literal(b"client-request-id", b"0" * 32)[:-32] + b"%032x",
                literal(b"client-request-unixmsec", b"0" * 13)[:-13] + b"%013d",
            )
        )
        #: Of every later block.
        self.length = len(self.later % (0, 0))


class _CountingTable(HeaderTable):
    """A dynamic table that tells when it changed."""

    changes = 0

    def add(self, name: bytes, value: bytes) -> None:
        self.changes += 1
        super().add(name, value)


class AnswerBlocks:
    """Judges the header blocks of answers; blocks that mean the same are decoded once.

    A block's meaning can only change with the dynamic table, so what is known is forgotten
    whenever a block changes it, and such a block is always decoded.
    """

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._decoder.header_table = self._table = _CountingTable()
        self.known: dict[bytes, bool] = {}

    def judge(self, block: bytes, *, is_end: bool) -> None:
        """Raises AssertionError unless it is a good answer's beginning or end."""
        if self.known.get(block) is is_end:
            return
        before = self._table.changes
        headers = [(bytes(name), bytes(value)) for name, value in self._decode(block)]
        name, good = (b"grpc-status", [OK]) if is_end else (b":status", [HTTP_OK])
        if [header for header in headers if header[0] == name] != good:
            raise AssertionError(f"the answer is no success: {headers}")
        resizes = block[0] & 0xE0 == 0x20  # RFC 7541, section 6.3
        if self._table.changes != before or resizes:
            self.known.clear()
        else:
            self.known[block] = is_end

    def _decode(self, block: bytes) -> list[Header]:
        return self._decoder.decode(block, raw=True)  # type: ignore[return-value]  # raw gives bytes
