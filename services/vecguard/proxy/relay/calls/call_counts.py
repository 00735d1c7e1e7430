"""How calls end, counted by method and gRPC status, whatever clients ask for."""

from collections.abc import Iterator

from vecguard.errors import Status

#: The method of calls that no upstream has ever answered well, and of those beyond the bound.
OTHER = "other"
_CODES = len(Status)
_OK = Status.OK.value
_UNKNOWN = Status.UNKNOWN.value
_BY_WIRE = {str(status.value).encode(): status.value for status in Status}
# Milvus has some 130 methods. A longer name than any of gRPC's own is no method.
_MAX_METHODS = 200
_MAX_NAME_BYTES = 200


def status_code(wire: bytes | None) -> int:
    """The number in a `grpc-status` field; UNKNOWN for what is none (gRPC over HTTP/2)."""
    return _UNKNOWN if wire is None else _BY_WIRE.get(wire, _UNKNOWN)


class CallCounts:
    """Counts calls.

    A method gets a row of its own with its first OK: only an upstream says that, so a client
    cannot make rows of names that it invents. A backend that says OK to every name can fill
    the table, and no more.
    """

    def __init__(self, max_methods: int = _MAX_METHODS) -> None:
        self._max_methods = max_methods
        self._methods: dict[bytes, list[int]] = {}
        self._other = [0] * _CODES

    def ended(self, method: bytes, code: int) -> None:
        """A call of this method, such as `/package.Service/Method`, has ended with this status."""
        counts = self._methods.get(method)
        if counts is None:
            counts = self._row(method, code)
        counts[code] += 1

    def counts(self) -> Iterator[tuple[str, Status, int]]:
        """Every method and status that has occurred, with how often."""
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
