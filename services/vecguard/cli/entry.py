"""Starts `vecguard`. Importing its modules takes about a second, which Ctrl-C may cut short."""

import signal


def main() -> None:
    """Runs the command. Ctrl-C during the imports ends the process without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from vecguard.cli.__main__ import main as run  # noqa: PLC0415 - after the line above

    signal.signal(signal.SIGINT, signal.default_int_handler)
    run()
