"""Goes through many items without holding the event loop."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

T = TypeVar("T")

# Some milliseconds of work on small items.
_ITEMS_AT_A_TIME: Final = 256


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """Yields the items, and gives other tasks a turn after some hundred of them."""
    for count, item in enumerate(items, 1):
        yield item
        if not count % _ITEMS_AT_A_TIME:
            await asyncio.sleep(0)
