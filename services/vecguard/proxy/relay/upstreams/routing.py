"""Finds what belongs to a method: its upstream, or what it needs."""

from collections.abc import Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


_MAX_FOUND = 1024
_MAX_PATH_BYTES = 200


# No dataclass: mypyc compiles no generic dataclass with slots.
class Routes(Generic[T]):
    """Maps `/package.Service/Method` or `/package.Service/*` to an upstream, or to what it needs.

    Attributes:
        table: exact methods take precedence over whole services.
        default: the value of all other methods.
    """

    def __init__(self, *, table: Mapping[bytes, T], default: T) -> None:
        self.table = table
        self.default = default
        self._found: dict[bytes, T] = {}

    def find(self, path: bytes) -> T:
        """Returns the value of a method."""
        upstream = self._found.get(path)
        if upstream is None:
            upstream = self._look_up(path)
            # Bounded, because clients choose paths.
            if len(self._found) < _MAX_FOUND and len(path) <= _MAX_PATH_BYTES:
                self._found[path] = upstream
        return upstream

    def _look_up(self, path: bytes) -> T:
        upstream = self.table.get(path)
        if upstream is not None:
            return upstream
        service = path[: path.rfind(b"/") + 1] + b"*"
        return self.table.get(service, self.default)
