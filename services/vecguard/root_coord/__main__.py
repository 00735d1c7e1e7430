"""Lets `python -m vecguard.root_coord` start the service."""

import sys

from vecguard.lifecycle import run_service
from vecguard.root_coord.app import run


def main() -> None:
    """Runs the service until a signal stops it."""
    sys.exit(run_service("root_coord", run))


if __name__ == "__main__":
    main()
