"""Lets `python -m services.root_coord` start the service."""

import sys

from services.root_coord.app import run
from shared.lifecycle import run_service


def main() -> None:
    """Runs the service until it is told to stop."""
    sys.exit(run_service("root_coord", run))


if __name__ == "__main__":
    main()
