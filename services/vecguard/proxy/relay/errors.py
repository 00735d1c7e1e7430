"""How a relayed call can fail on our side."""

from vecguard.errors import (
    MessageTooLargeError,
    OverloadedError,
    Status,
    UnavailableError,
    VecguardError,
)


class MalformedCallError(VecguardError):
    """The request is no gRPC call; it is answered by an HTTP status."""

    status = Status.INTERNAL
    reason = "malformed_call"

    def __init__(self, http_status: int, message: str) -> None:
        super().__init__(message)
        self.http_status = http_status


class MalformedRequestError(VecguardError):
    """The request breaks HTTP/2's own rules; its stream is reset (RFC 9113, section 8.1.1)."""

    reason = "malformed_request"


class HeadersTooLargeError(OverloadedError):
    """A header block is over our limit. As in gRPC's own servers, no client repeats the call."""

    reason = "headers_too_large"


class AnswerTooLargeError(OverloadedError):
    """A message of an answer is over `proxy.grpc.serverMaxSendSize`."""

    reason = "answer_too_large"

    def __init__(self, found: MessageTooLargeError) -> None:
        super().__init__(
            f"the answer has a message of {found.size} bytes, over the limit of {found.limit}"
        )


class InvalidTimeoutError(VecguardError):
    """`grpc-timeout` is not what the gRPC specification allows."""

    status = Status.INTERNAL
    reason = "malformed_timeout"


class TooMuchBufferedError(OverloadedError):
    """The process holds too many bytes that nobody takes, and most of them for this client."""

    reason = "too_much_buffered"

    def __init__(self) -> None:
        super().__init__("too much data waits for its receiver; read faster, or try again later")


class ConnectionTooOldError(UnavailableError):
    """The connection has outlived the age that is allowed, and its calls their grace."""

    reason = "connection_too_old"

    def __init__(self) -> None:
        super().__init__("the connection is too old, try again on a new one")


class UpstreamUnavailableError(UnavailableError):
    """The upstream cannot be reached, hung up, or answers no gRPC."""

    reason = "upstream_unavailable"


class UpstreamCancelledError(VecguardError):
    """The upstream has cancelled the call."""

    status = Status.CANCELLED
    reason = "upstream_cancelled"


class UpstreamProtocolError(VecguardError):
    """The upstream broke off the call in a way that is no refusal."""

    status = Status.INTERNAL
    reason = "upstream_protocol"


class MalformedAnswerError(UpstreamProtocolError):
    """The upstream's answer breaks HTTP/2's own rules (RFC 9113, section 8.1.1)."""
