"""What the interpreter contributes to a proxy's speed."""

import gc

from services.proxy.http2 import connection

# Calls leave no cycles behind, so that the collector finds nothing in them; by Python's own
# thresholds it looks through everything that is open several times in each second.
_GARBAGE_THRESHOLDS = (10_000, 20, 20)


def is_compiled() -> bool:
    """Whether the hot path runs as machine code (`make compile`)."""
    return not connection.__file__.endswith(".py")


def settle_memory() -> None:
    """Call once, when all that lives as long as the process is made: it is looked at no more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)
