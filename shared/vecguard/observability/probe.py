"""Asks an operations port whether its process is healthy, for the health check of a container.

`python -m vecguard.observability.probe` ends with 0 when the process is healthy, else with 1 and
one line that says why. A container engine starts it every few seconds, in an image that has no
curl, so it imports nothing beyond the standard library.
"""

import argparse
import http.client
import json
import sys
from collections.abc import Sequence
from typing import Any, Final

EXIT_HEALTHY: Final = 0
EXIT_UNHEALTHY: Final = 1

_OPERATIONS_PORT: Final = 9091
_TIMEOUT_SECONDS: Final = 3.0
#: A report has a few lines for each check; a longer answer is not a report.
_MAX_ANSWER: Final = 65536


def problem_of(host: str, port: int, path: str, *, timeout_seconds: float) -> str | None:
    """Returns what is wrong with the process behind an operations port; None if it is healthy.

    Args:
        host: where the port is.
        port: the port.
        path: /livez, /readyz, or /readyz?exclude=role for a root coord that may stand by.
        timeout_seconds: the deadline of each step: to connect, to answer.
    """
    connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read(_MAX_ANSWER)
    except (OSError, http.client.HTTPException) as error:
        return f"no answer from {host}:{port}: {error or type(error).__name__}"
    finally:
        connection.close()
    if response.status == http.HTTPStatus.OK:
        return None
    if response.status != http.HTTPStatus.SERVICE_UNAVAILABLE:
        return f"{path} answers {response.status}: this is not an operations port"
    return _failures(body) or f"{path} answers {response.status} without a reason"


def main(argv: Sequence[str] | None = None) -> int:
    """Asks once. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="probe", description=__doc__, allow_abbrev=False)
    parser.add_argument("--host", default="127.0.0.1", help="the host of the operations port")
    parser.add_argument("--port", type=int, default=_OPERATIONS_PORT, help="the operations port")
    parser.add_argument(
        "--path",
        default="/readyz",
        help="/readyz (default), /readyz?exclude=CHECK or /livez",
    )
    arguments = parser.parse_args(argv)
    found = problem_of(
        arguments.host, arguments.port, arguments.path, timeout_seconds=_TIMEOUT_SECONDS
    )
    if found is None:
        return EXIT_HEALTHY
    sys.stderr.write(f"{found}\n")
    return EXIT_UNHEALTHY


def _failures(body: bytes) -> str:
    """Returns the failing critical checks with their messages; "" if this is not a report."""
    try:
        report: Any = json.loads(body)
        return "; ".join(report["failures"])
    except (ValueError, LookupError, TypeError):
        return ""


if __name__ == "__main__":
    sys.exit(main())
