"""Traces calls by OpenTelemetry.

A span has the name of the method, its times and its status, and nothing of the metadata or data
of the client.
"""

from typing import Final, Self

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from vecguard.observability.metrics import vecguard_version

# The maximum number of spans that wait for the collector; more are dropped. A call never waits for
# it.
_QUEUE: Final = 4096
_EXPORT_SECONDS: Final = 5.0
_EVERY_MILLISECONDS: Final = 2000
_MAX_NAME_BYTES: Final = 200
# The statuses that are the server's fault (OpenTelemetry, "Semantic conventions for gRPC"):
# UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
_FAULTS: Final = frozenset((2, 4, 12, 13, 14, 15))
_ERROR: Final = Status(StatusCode.ERROR)


class CallSpan:
    """The span of one call.

    Attributes:
        traceparent: the header for the upstream (W3C Trace Context, section 3.2).
    """

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: Span) -> None:
        context = span.get_span_context()
        self._span = span
        self.traceparent = (
            f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
        ).encode()

    def end(self, code: int) -> None:
        """Ends the span with the gRPC status of the call."""
        self._span.set_attribute("rpc.grpc.status_code", code)
        if code in _FAULTS:
            self._span.set_status(_ERROR)
        self._span.end()


class CallTracer:
    """Begins a span for each call that is sampled."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("vecguard", vecguard_version())
        self._headers = TraceContextTextMapPropagator()

    @classmethod
    def exporting(cls, endpoint: str, *, service: str, sample_fraction: float) -> Self:
        """Returns a tracer that exports spans by OTLP over HTTP, in a thread of its own."""
        provider = TracerProvider(
            ParentBased(TraceIdRatioBased(sample_fraction)),
            Resource.create(
                {"service.name": f"vecguard-{service}", "service.version": vecguard_version()}
            ),
            # `close` shuts it down, at a time when that may take a while.
            shutdown_on_exit=False,
        )
        provider.add_span_processor(
            BatchSpanProcessor(
                OTLPSpanExporter(endpoint, timeout=_EXPORT_SECONDS),
                max_queue_size=_QUEUE,
                schedule_delay_millis=_EVERY_MILLISECONDS,
            )
        )
        return cls(provider)

    def begin(self, method: bytes, parents: list[bytes], states: list[bytes]) -> CallSpan | None:
        """Begins the span of a call. Returns None if the call is not sampled.

        Args:
            method: such as `/package.Service/Method`.
            parents: the values of `traceparent`; ignored if there are several.
            states: the values of `tracestate`.
        """
        carrier = {}
        if len(parents) == 1:
            carrier["traceparent"] = parents[0].decode("latin-1")
            carrier["tracestate"] = b",".join(states).decode("latin-1")
        name = method[1:_MAX_NAME_BYTES].decode("ascii", "replace")
        span = self._tracer.start_span(
            name,
            self._headers.extract(carrier),
            kind=SpanKind.SERVER,
            attributes={"rpc.system": "grpc", "rpc.method": name},
        )
        return CallSpan(span) if span.is_recording() else None

    def close(self) -> None:
        """Blocks until the waiting spans are exported, a few seconds at most."""
        self._provider.shutdown()
