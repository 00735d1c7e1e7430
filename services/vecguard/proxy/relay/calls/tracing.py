"""What the relay asks of whoever traces calls."""

from typing import Protocol

TRACEPARENT = b"traceparent"
TRACESTATE = b"tracestate"


class Span(Protocol):
    """One call in a trace.

    Attributes:
        traceparent: what the upstream is told, so that its own spans come beneath this one
            (W3C Trace Context, section 3.2).
    """

    @property
    def traceparent(self) -> bytes: ...

    def end(self, code: int) -> None:
        """The call has ended with this gRPC status."""


class Tracer(Protocol):
    """Begins spans."""

    def begin(self, method: bytes, parents: list[bytes], states: list[bytes]) -> Span | None:
        """The span of a call, by its `traceparent` and `tracestate` headers.

        None: the call is not sampled. Then what the client sent passes as it came.
        """
        ...
