"""What the interpreter contributes to a proxy's speed."""

from vecguard.proxy.http2 import connection


def is_compiled() -> bool:
    """Whether the hot path runs as machine code (`make compile`)."""
    return not connection.__file__.endswith(".py")
