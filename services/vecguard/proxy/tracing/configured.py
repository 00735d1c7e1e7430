"""Opens the configured tracer, which needs the extra `tracing`."""

from typing import TYPE_CHECKING

from vecguard.config.tracing import TraceSettings
from vecguard.errors import ConfigurationError

if TYPE_CHECKING:
    from vecguard.proxy.tracing.call_tracer import CallTracer


def open_tracer(settings: TraceSettings, service: str) -> "CallTracer | None":
    """Returns the configured tracer; None if tracing is off.

    Raises ConfigurationError without OpenTelemetry.
    """
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
