"""Settings of tracing by OpenTelemetry."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from vecguard.config.fields import Expected, Section

_EXPECTED = "an http or https URL, or empty"


def _collector(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise PydanticCustomError("collector", _EXPECTED)
    return value


class TraceSettings(Section):
    """OpenTelemetry tracing. It needs the extra `tracing`."""

    endpoint: Annotated[str, AfterValidator(_collector), Expected(_EXPECTED)] = Field(
        default="",
        description="URL to which spans are sent by OTLP over HTTP, such as "
        "http://collector:4318/v1/traces. Empty: tracing is off. Headers for the collector come "
        "from OTEL_EXPORTER_OTLP_HEADERS.",
    )
    sample_fraction: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0,
        description="Fraction of calls without a trace context for which a new trace is started. "
        "If a call has the header traceparent, the decision in the header applies.",
    )
