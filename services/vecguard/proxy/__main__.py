"""Lets `python -m vecguard.proxy` start the service."""

import sys

from vecguard.lifecycle import run_process
from vecguard.proxy.workers.launch import start


def main() -> None:
    """Runs the service until the process is stopped."""
    sys.exit(run_process("proxy", start))


if __name__ == "__main__":
    main()
