"""Defines a value that must not be printed."""

import hmac
from typing import Generic, NoReturn, TypeVar

T = TypeVar("T", bound=str | bytes)


class Secret(Generic[T]):
    """Holds a clear password or a hash; shows itself as `<redacted>` wherever it is printed.

    Formatting a secret into a text raises an error, because that is how secrets leak.
    Comparing takes the same time wherever the values differ.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        """Returns the value itself. Keep it in the smallest scope that works."""
        return self._value

    def __repr__(self) -> str:
        return "<redacted>"

    def __str__(self) -> NoReturn:
        raise TypeError("a secret cannot be turned into text; use reveal() where it is needed")

    def __format__(self, format_spec: str) -> NoReturn:
        self.__str__()

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_octets(self._value), _octets(other._value))

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")


def _octets(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
