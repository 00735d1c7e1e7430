"""When the interpreter looks for garbage that reference counts do not find."""

import gc

# Calls leave few cycles behind; by Python's own thresholds the collector looks through
# everything that is open several times in each second, and every answer waits meanwhile.
_THRESHOLDS = (10_000, 20, 20)


def settle_memory() -> None:
    """Call once, when all that lives as long as the process is made: it is looked at no more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
