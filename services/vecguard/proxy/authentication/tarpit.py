"""A place where refusals wait, so that whoever repeats them at once is slowed down."""

import asyncio
from random import uniform

# A held call costs a few kilobytes; beyond so many they are answered at once.
_PLACES = 2000
# As parts of the configured time.
_SHORTEST, _LONGEST = 0.75, 1.25


class Tarpit:
    """Holds a call for a moment that costs us nothing.

    Attributes:
        held: how many calls are in it.
    """

    def __init__(self, seconds: float, places: int = _PLACES) -> None:
        self._seconds = seconds
        self._places = places
        self.held = 0

    async def hold(self) -> None:
        """Returns after a while; at once if the tarpit is full."""
        if self.held >= self._places:
            return
        self.held += 1
        try:
            # Calls that come together would otherwise all be answered in one turn of the loop.
            await asyncio.sleep(self._seconds * uniform(_SHORTEST, _LONGEST))  # noqa: S311 - no secret
        finally:
            self.held -= 1
