"""The errors that end a call before it is decided."""

from vecguard.errors import MalformedMessageError, Status, VecguardError


class UnreadableRequestError(MalformedMessageError):
    """A request has no single message that can be read. The status is that of gRPC's servers."""

    reason = "unreadable_request"


class UnsupportedEncodingError(VecguardError):
    """A request is compressed in a way that we cannot undo ("gRPC compression": UNIMPLEMENTED)."""

    status = Status.UNIMPLEMENTED
    reason = "unsupported_encoding"

    def __init__(self, encoding: bytes) -> None:
        shown = ascii(encoding[:32].decode("latin-1"))
        super().__init__(
            f"the request is compressed as {shown}; use gzip, deflate or no compression"
        )
