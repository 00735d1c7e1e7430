"""Watching a stream: who ended it, and how."""

from collections.abc import Callable

from h2.errors import ErrorCodes

from services.proxy.relay.errors import (
    UpstreamCancelledError,
    UpstreamProtocolError,
    UpstreamUnavailableError,
)
from shared.errors import OverloadedError, VecguardError
from shared.grpc.transport import ResetListener


class StreamWatcher(ResetListener):
    """Put in the place of a grpclib stream's wrapper, it reports the stream's end once.

    `ended` receives the HTTP/2 error code of a reset, or None when the connection was lost.
    """

    def __init__(self, ended: Callable[[int | None], None]) -> None:
        super().__init__()
        self._ended = ended
        self._code: int | None = None

    def reset(self, code: int) -> None:
        """The peer's RST_STREAM."""
        self._code = code

    def cancel(self, error: Exception) -> None:
        """Grpclib says that the stream is over."""
        del error  # its text is grpclib's; the code says more
        if not self.cancelled:
            self.cancelled = True
            self._ended(self._code)


def upstream_error(upstream: str, code: int | None) -> VecguardError:
    """What a reset by an upstream means for the caller (gRPC over HTTP/2, "Errors")."""
    if code is None:
        return UpstreamUnavailableError(f"{upstream} closed the connection")
    match code:
        case ErrorCodes.REFUSED_STREAM:
            return UpstreamUnavailableError(f"{upstream} refused the call")
        case ErrorCodes.CANCEL:
            return UpstreamCancelledError(f"{upstream} cancelled the call")
        case ErrorCodes.ENHANCE_YOUR_CALM:
            return OverloadedError(f"{upstream} asks for fewer calls")
        case _:
            return UpstreamProtocolError(f"{upstream} reset the call with HTTP/2 error {code}")
