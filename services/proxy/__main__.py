"""Lets `python -m services.proxy` start the service."""

import sys

from services.proxy.workers.launch import start
from shared.lifecycle import run_process


def main() -> None:
    """Runs the service until it is told to stop."""
    sys.exit(run_process("proxy", start))


if __name__ == "__main__":
    main()
