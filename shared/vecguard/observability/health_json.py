"""Writes and reads the body of /healthz and /readyz.

`probe` reads the member `failures` by itself, since it imports the standard library alone.
"""

import json
from typing import Any

from vecguard.observability.health import Check, Health


def as_json(health: Health) -> dict[str, Any]:
    """Returns the report as a JSON object."""
    return {
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


def read_health(body: bytes | str) -> Health:
    """Returns the report that `as_json` wrote. Raises ValueError when the body is no report."""
    try:
        report: Any = json.loads(body)
        return Health(
            tuple(
                Check(name, bool(each["healthy"]), bool(each["critical"]), str(each["message"]))
                for name, each in report["checks"].items()
            )
        )
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError("it has no checks with healthy, critical and message") from error


def _line(check: Check) -> str:
    return f"{check.name}: {check.message}"
