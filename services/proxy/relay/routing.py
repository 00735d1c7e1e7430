"""Which upstream a method belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from shared.errors import UnsupportedError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Routes(Generic[T]):
    """A table from `/package.Service/Method` or `/package.Service/*` to an upstream.

    Attributes:
        table: exact methods go before whole services.
        unsupported: methods that must reach no upstream, with the reason.
        default: where everything else goes.
    """

    table: Mapping[bytes, T]
    unsupported: Mapping[bytes, str]
    default: T

    def find(self, path: bytes) -> T:
        """The upstream of a method. Raises UnsupportedError."""
        reason = self.unsupported.get(path)
        if reason is not None:
            raise UnsupportedError(reason)
        upstream = self.table.get(path)
        if upstream is not None:
            return upstream
        service = path[: path.rfind(b"/") + 1] + b"*"
        return self.table.get(service, self.default)
