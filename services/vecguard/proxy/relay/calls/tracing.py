"""The interface of a tracer of calls."""

from typing import Protocol

TRACEPARENT = b"traceparent"
TRACESTATE = b"tracestate"


class Span(Protocol):
    """One call in a trace.

    Attributes:
        traceparent: the header for the upstream, whose own spans become children of this one
            (W3C Trace Context, section 3.2).
    """

    @property
    def traceparent(self) -> bytes: ...

    def end(self, code: int) -> None:
        """Ends the span with the gRPC status of the call."""


class Tracer(Protocol):
    """Begins spans."""

    def begin(self, method: bytes, parents: list[bytes], states: list[bytes]) -> Span | None:
        """Begins the span of a call, from its `traceparent` and `tracestate` headers.

        Returns None if the call is not sampled; the client's headers are forwarded then.
        """
        ...
