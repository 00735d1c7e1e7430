"""Tracing, where it is wanted: without the extra `tracing` nothing of it is loaded."""

from typing import TYPE_CHECKING

from vecguard.config.tracing import TraceSettings
from vecguard.errors import ConfigurationError

if TYPE_CHECKING:
    from vecguard.proxy.tracing.call_tracer import CallTracer


def open_tracer(settings: TraceSettings, service: str) -> "CallTracer | None":
    """As configured; None while it is off. Raises ConfigurationError without OpenTelemetry."""
    if not settings.endpoint:
        return None
    try:
        from vecguard.proxy.tracing.call_tracer import CallTracer  # noqa: PLC0415  # optional
    except ImportError as error:
        raise ConfigurationError(
            "trace.endpoint needs OpenTelemetry: pip install '.[tracing]' in the checkout, or an "
            "image made by: make image EXTRAS=fast,tracing"
        ) from error
    return CallTracer.exporting(
        settings.endpoint, service=service, sample_fraction=settings.sample_fraction
    )
