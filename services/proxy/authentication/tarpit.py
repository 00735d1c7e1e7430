"""A place where refusals wait, so that whoever repeats them at once is slowed down."""

import asyncio

# A held call costs a few kilobytes; beyond so many they are answered at once.
_PLACES = 2000


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
            await asyncio.sleep(self._seconds)
        finally:
            self.held -= 1
