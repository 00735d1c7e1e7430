"""Says whether the hot path is compiled."""

from vecguard.proxy.http2 import connection


def is_compiled() -> bool:
    """Returns whether the hot path runs as machine code (`make compile`)."""
    return not connection.__file__.endswith(".py")
