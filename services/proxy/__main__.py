"""Lets `python -m services.proxy` start the service."""

import sys

from services.proxy.app import run
from shared.lifecycle import run_service


def main() -> None:
    """Runs the service until it is told to stop."""
    sys.exit(run_service("proxy", run))


if __name__ == "__main__":
    main()
