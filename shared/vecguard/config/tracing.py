"""Settings of tracing by OpenTelemetry."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from vecguard.config.fields import Expected, Section

_EXPECTED = "an http or https URL, or nothing"


def _collector(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise PydanticCustomError("collector", _EXPECTED)
    return value


class TraceSettings(Section):
    """Where spans are sent, and which calls get one. Needs the extra `tracing`."""

    endpoint: Annotated[str, AfterValidator(_collector), Expected(_EXPECTED)] = Field(
        default="",
        description="Where spans go, by OTLP over HTTP, such as http://collector:4318/v1/traces; "
        "empty: tracing is off. Headers for the collector come from OTEL_EXPORTER_OTLP_HEADERS.",
    )
    sample_fraction: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0,
        description="Part of the calls without a trace of their client's that begin one. Where "
        "there is one (the header traceparent), its own decision is followed.",
    )
