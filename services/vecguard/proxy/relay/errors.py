"""The errors that end a relayed call."""

from vecguard.errors import (
    MessageTooLargeError,
    OverloadedError,
    Status,
    UnavailableError,
    VecguardError,
)


class MalformedCallError(VecguardError):
    """The request is not a gRPC call; the client gets an HTTP status."""

    status = Status.INTERNAL
    reason = "malformed_call"

    def __init__(self, http_status: int, message: str) -> None:
        super().__init__(message)
        self.http_status = http_status


class MalformedRequestError(VecguardError):
    """The request breaks the rules of HTTP/2; its stream is reset (RFC 9113, section 8.1.1)."""

    reason = "malformed_request"


class HeadersTooLargeError(OverloadedError):
    """A header block is over our limit. The status is that of gRPC's own servers."""

    reason = "headers_too_large"


class AnswerTooLargeError(OverloadedError):
    """A message of an answer is over `proxy.grpc.serverMaxSendSize`."""

    reason = "answer_too_large"

    def __init__(self, found: MessageTooLargeError) -> None:
        super().__init__(
            f"the answer has a message of {found.size} bytes, over the limit of {found.limit} "
            "(proxy.grpc.serverMaxSendSize)"
        )


class InvalidTimeoutError(VecguardError):
    """`grpc-timeout` breaks the gRPC specification."""

    status = Status.INTERNAL
    reason = "malformed_timeout"


class TooMuchBufferedError(OverloadedError):
    """Too many bytes wait in the process, and most of them because of this client."""

    reason = "too_much_buffered"

    def __init__(self) -> None:
        super().__init__(
            "the proxy buffers too much data for this client; read faster, or try again later"
        )


class ConnectionTooOldError(UnavailableError):
    """The connection has reached its maximum age, and its calls have used up their grace."""

    reason = "connection_too_old"

    def __init__(self) -> None:
        super().__init__("the connection has reached its maximum age, try again on a new one")


class UpstreamUnavailableError(UnavailableError):
    """The upstream cannot be reached, has closed the connection, or does not answer in gRPC."""

    reason = "upstream_unavailable"


class UpstreamCancelledError(VecguardError):
    """The upstream has cancelled the call."""

    status = Status.CANCELLED
    reason = "upstream_cancelled"


class UpstreamProtocolError(VecguardError):
    """The upstream has broken off the call other than by a refusal."""

    status = Status.INTERNAL
    reason = "upstream_protocol"


class MalformedAnswerError(UpstreamProtocolError):
    """The upstream's answer breaks the rules of HTTP/2 (RFC 9113, section 8.1.1)."""
