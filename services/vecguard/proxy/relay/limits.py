"""The names of the relay's own limits, in addition to those of each HTTP/2 connection."""

from enum import StrEnum

from vecguard.proxy.http2.limits import Limit, LimitHits


class RelayLimit(StrEnum):
    """The limits by their names in the metrics."""

    CONNECTIONS = "connections"
    CONNECTIONS_PER_ADDRESS = "connections_per_address"
    HANDSHAKE = "handshake"
    FIRST_CALL = "first_call"
    IDLE = "idle"
    AGE = "age"
    AGE_GRACE = "age_grace"
    BUFFERED = "buffered"
    WAITING_CALLS = "waiting_calls"
    WAITING_CALLS_PER_USER = "waiting_calls_per_user"
    REFUSED_CALLS = "refused_calls"
    READ_WAIT = "read_wait"


def limit_hits() -> LimitHits:
    """Returns counts for every limit of the relay and of its connections."""
    return LimitHits((*RelayLimit, *Limit))
