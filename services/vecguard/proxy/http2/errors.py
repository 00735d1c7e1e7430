"""The errors of a peer, with their HTTP/2 error codes (RFC 9113, section 7)."""

from enum import IntEnum

from vecguard.errors import VecguardError
from vecguard.proxy.http2.limits import Limit


class ErrorCode(IntEnum):
    """The codes of RST_STREAM and GOAWAY."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class Http2ConnectionError(VecguardError):
    """The connection must end: the peer gets a GOAWAY.

    Attributes:
        limit: the limit that was reached; None for a violation of the protocol.
    """

    reason = "http2_connection"

    def __init__(self, code: ErrorCode, message: str, *, limit: Limit | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.limit = limit


class NoPrefaceError(Http2ConnectionError):
    """A client's first bytes are not HTTP/2's preface.

    Attributes:
        said: all bytes that it has sent.
    """

    def __init__(self, said: bytes) -> None:
        super().__init__(
            ErrorCode.PROTOCOL_ERROR, "the client does not begin with the HTTP/2 preface"
        )
        self.said = said


class Http2StreamError(VecguardError):
    """One stream must end: the peer gets a RST_STREAM, and the other streams continue."""

    reason = "http2_stream"

    def __init__(self, stream_id: int, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.stream_id = stream_id
        self.code = code


class CompressionError(Http2ConnectionError):
    """A header block cannot be decoded, so the dynamic tables of both sides may differ."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.COMPRESSION_ERROR, message)
