"""Work of a task, by the time that it takes of the event loop."""

from collections.abc import Callable, Coroutine, Generator
from time import monotonic
from types import CodeType
from typing import Any


class Timed(Coroutine[Any, Any, None]):
    """Runs as the work that it is given, and tells of each step what it took."""

    def __init__(self, work: Coroutine[Any, Any, None], took: Callable[[float], None]) -> None:
        """`took` is told the seconds of each step; what is waited for is none of them."""
        self._work = work
        self._took = took

    @property
    def cr_code(self) -> CodeType | None:
        """What asyncio calls it by."""
        return getattr(self._work, "cr_code", None)

    def send(self, value: Any, /) -> Any:
        begun = monotonic()
        try:
            return self._work.send(value)
        finally:
            self._took(monotonic() - begun)

    def throw(self, kind: Any, /, *rest: Any) -> Any:
        begun = monotonic()
        try:
            return self._work.throw(kind, *rest)
        finally:
            self._took(monotonic() - begun)

    def close(self) -> None:
        """Ends it where it stands."""
        self._work.close()

    def __await__(self) -> Generator[Any, Any, None]:
        return self._work.__await__()
