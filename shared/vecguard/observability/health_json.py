"""Writes and reads the body of /healthz and /readyz.

`probe` reads the member `failures` by itself, since it imports the standard library alone.
"""

import json
from typing import Any

from pydantic import ValidationError

from vecguard.observability.details import Details
from vecguard.observability.health import Check, Health


def as_json(health: Health) -> dict[str, Any]:
    """Returns the report as a JSON object; `details` is there if the health has them."""
    report: dict[str, Any] = {
        "ready": health.ready,
        "failures": [_line(check) for check in health.failures],
        "warnings": [_line(check) for check in health.warnings],
        "checks": {
            check.name: {
                "healthy": check.healthy,
                "critical": check.critical,
                "message": check.message,
            }
            for check in health.checks
        },
    }
    if health.details is not None:
        report["details"] = health.details.model_dump(mode="json")
    return report


def read_health(body: bytes | str) -> Health:
    """Returns the report that `as_json` wrote, without details that only another version knows.

    Raises ValueError when the body is no report.
    """
    try:
        report: Any = json.loads(body)
        checks = tuple(
            Check(name, bool(each["healthy"]), bool(each["critical"]), str(each["message"]))
            for name, each in report["checks"].items()
        )
        return Health(checks, _details(report.get("details")))
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError("the report needs checks with healthy, critical and message") from error


def _details(reported: object) -> Details | None:
    try:
        return Details.model_validate(reported)
    except ValidationError:
        return None


def _line(check: Check) -> str:
    return f"{check.name}: {check.message}"
