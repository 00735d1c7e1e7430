"""When a child that ended is started again."""

from typing import Final

_FIRST_DELAY_SECONDS: Final = 0.5
_LONGEST_DELAY_SECONDS: Final = 30.0
#: One that lived this long did not end because it was started.
_SETTLED_SECONDS: Final = 30.0


class Restarts:
    """The back-off of one child: none at first, then doubled for each early end in a row."""

    def __init__(self) -> None:
        self._early_ends = 0

    def delay(self, lived_seconds: float) -> float:
        """Seconds until it is to be started again, for one that lived so long."""
        if lived_seconds >= _SETTLED_SECONDS:
            self._early_ends = 0
        self._early_ends += 1
        if self._early_ends == 1:
            return 0.0
        # The exponent is bounded because 2**1000 does not fit a float.
        return min(
            _LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2.0 ** min(self._early_ends - 2, 30)
        )
