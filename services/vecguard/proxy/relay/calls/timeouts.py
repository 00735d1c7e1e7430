"""Encodes and decodes `grpc-timeout` (gRPC over HTTP/2, "Timeout")."""

import re
from collections.abc import Sequence
from functools import lru_cache

from vecguard.proxy.relay.errors import InvalidTimeoutError

_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNIT_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_UNITS = ((b"n", 10**9), (b"u", 10**6), (b"m", 10**3), (b"S", 1))
_MAX_VALUE = 99_999_999  # eight digits
# Between these, microseconds are the finest unit that fits.
_SHORTEST_USUAL, _LONGEST_USUAL = 0.1, 99.0


def decode(values: Sequence[bytes]) -> float:
    """Returns the shortest of the timeouts, in seconds. Raises InvalidTimeoutError."""
    return min([_seconds(value) for value in values])


@lru_cache(256)
def _seconds(value: bytes) -> float:
    match = _TIMEOUT.fullmatch(value)
    if match is None:
        raise InvalidTimeoutError("malformed grpc-timeout: write digits and one of H M S m u n")
    return int(match[1]) * _UNIT_SECONDS[match[2]]


def encode(seconds: float) -> bytes:
    """Returns a value that is never longer than `seconds`."""
    if _SHORTEST_USUAL < seconds < _LONGEST_USUAL:
        return b"%du" % int(seconds * 10**6)
    seconds = max(0.0, seconds)
    for unit, factor in _UNITS:
        if (value := int(seconds * factor)) <= _MAX_VALUE:
            return b"%d%b" % (value, unit)
    return b"%dH" % min(int(seconds / 3600), _MAX_VALUE)
