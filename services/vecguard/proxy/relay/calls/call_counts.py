"""Counts calls by method and gRPC status, in bounded memory."""

from collections.abc import Iterator

from vecguard.errors import Status

#: The method name for methods that were never answered with OK, and for those beyond the bound.
OTHER = "other"
_CODES = len(Status)
_OK = Status.OK.value
_UNKNOWN = Status.UNKNOWN.value
_BY_WIRE = {str(status.value).encode(): status.value for status in Status}
# Milvus has some 130 methods. Longer names than any of gRPC's own are counted as other.
_MAX_METHODS = 200
_MAX_NAME_BYTES = 200


def status_code(wire: bytes | None) -> int:
    """Returns the code in a `grpc-status` field; UNKNOWN if it is not valid (gRPC over HTTP/2)."""
    return _UNKNOWN if wire is None else _BY_WIRE.get(wire, _UNKNOWN)


class CallCounts:
    """Counts calls by method and status.

    A method gets a row of its own with its first OK: only an upstream sends OK, so clients
    cannot create rows by inventing names. A backend that answers every name with OK can fill
    the table, but not exceed its bound.
    """

    def __init__(self, max_methods: int = _MAX_METHODS) -> None:
        self._max_methods = max_methods
        self._methods: dict[bytes, list[int]] = {}
        self._other = [0] * _CODES

    def ended(self, method: bytes, code: int) -> None:
        """Counts a call of a method, such as `/package.Service/Method`, that ended with `code`."""
        counts = self._methods.get(method)
        if counts is None:
            counts = self._row(method, code)
        counts[code] += 1

    def counts(self) -> Iterator[tuple[str, Status, int]]:
        """Yields each method and status that has occurred, with its count."""
        for method, counts in self._methods.items():
            yield from _occurred(method.decode("ascii"), counts)
        yield from _occurred(OTHER, self._other)

    def _row(self, method: bytes, code: int) -> list[int]:
        if (
            code != _OK
            or len(self._methods) >= self._max_methods
            or len(method) > _MAX_NAME_BYTES
            or not method.isascii()
        ):
            return self._other
        counts = self._methods[method] = [0] * _CODES
        return counts


def _occurred(method: str, counts: list[int]) -> Iterator[tuple[str, Status, int]]:
    for status in Status:
        if counts[status.value]:
            yield method, status, counts[status.value]
