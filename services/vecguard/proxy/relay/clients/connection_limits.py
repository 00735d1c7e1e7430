"""Limits the connected clients, in all and from one address, and chooses which to displace."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from vecguard.boot_clock import boot_clock
from vecguard.clock import Clock
from vecguard.observability.log import get_logger
from vecguard.observability.repeated import RepeatedFailure
from vecguard.proxy.http2.limits import LimitHits
from vecguard.proxy.relay.limits import RelayLimit

log = get_logger(__name__)

# How long a reached limit shows in the health report.
_RECENTLY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ConnectionLimitsPolicy:
    """The limits of connections.

    Attributes:
        connections: the maximum number of clients; an idle one uses about 11 KiB, with TLS about
            56 KiB, and a file descriptor.
        connections_per_address: the maximum number of clients of one address (IPv6: of one /64). It
            must be well below `connections`, or one address could shut out all others; and well
            above what one machine needs, because many machines may share one address.
    """

    connections: int
    connections_per_address: int


class ConnectionLimits:
    """Counts the connections, and displaces some for new ones when a limit is reached.

    A connection without an admitted call costs an attacker next to nothing, so a new connection
    displaces the oldest of them at a limit. At the limit of all connections, it displaces the
    oldest of the address with most of them, so that an attacker loses connections before an
    honest client. A connection with an admitted call is never displaced.

    Attributes:
        displaced: how many connections were displaced, by the limit that was reached.
        departing: displaced connections that are not closed yet.
    """

    def __init__(
        self, policy: ConnectionLimitsPolicy, hits: LimitHits, *, clock: Clock = boot_clock
    ) -> None:
        self._policy = policy
        self._hits = hits
        self._clock = clock
        self._inside = 0
        self._unadmitted = 0
        self._origins: dict[str, _Origin] = {}
        # The addresses by their number of unadmitted connections; the last level is not empty.
        self._levels: list[dict[_Origin, None]] = [{}]
        self._full = RepeatedFailure(log, "connections_full")
        self._last_full: float | None = None
        self.displaced: Counter[RelayLimit] = Counter(
            {RelayLimit.CONNECTIONS: 0, RelayLimit.CONNECTIONS_PER_ADDRESS: 0}
        )
        self.departing = 0

    def __len__(self) -> int:
        return self._inside

    @property
    def unadmitted(self) -> int:
        """How many connections have had no admitted call."""
        return self._unadmitted

    @property
    def was_full_lately(self) -> bool:
        """Whether a limit was reached within the last minute."""
        return self._last_full is not None and self._clock() - self._last_full < _RECENTLY_SECONDS

    def enter(self, origin: str) -> "Place | None":
        """Returns a place for a connection of this origin, to be ended; None if it gets none."""
        at = self._origins.get(origin)
        if at is not None and at.inside >= self._policy.connections_per_address:
            if not self._make_room(RelayLimit.CONNECTIONS_PER_ADDRESS, at, origin):
                return None
        elif self._inside >= self._policy.connections:
            level = self._levels[-1]
            most = next(iter(level)) if level else None
            if not self._make_room(RelayLimit.CONNECTIONS, most, origin):
                return None
        # The displaced connection may have been the last one of this address.
        at = self._origins.get(origin)
        if at is None:
            at = self._origins[origin] = _Origin(origin)
        place = Place(self, at)
        self._inside += 1
        at.inside += 1
        self._now_waits(place)
        return place

    def admitted(self, place: "Place") -> None:
        """Protects a connection with an admitted call from being displaced."""
        self._waits_no_more(place)

    def leave(self, place: "Place") -> None:
        """Removes a connection that is closed."""
        if place.is_departing:
            self.departing -= 1
        else:
            self._release(place)

    def _make_room(self, limit: RelayLimit, at: "_Origin | None", newcomer: str) -> bool:
        """Displaces the oldest unadmitted connection of an origin. Returns whether it could."""
        self._hits.hit(limit)
        self._last_full = self._clock()
        place = None if at is None else next(iter(at.unadmitted), None)
        self._full.failed(
            f"{limit} {newcomer}",
            limit=str(limit),
            newcomer=newcomer,
            displaced=None if place is None else place.origin.name,
            connections=self._inside,
            unadmitted=self._unadmitted,
        )
        if place is None:
            return False
        self._release(place)
        self.displaced[limit] += 1
        self.departing += 1
        place.depart()
        return True

    def _release(self, place: "Place") -> None:
        origin = place.origin
        if place in origin.unadmitted:
            self._waits_no_more(place)
        self._inside -= 1
        origin.inside -= 1
        if not origin.inside:
            del self._origins[origin.name]

    def _now_waits(self, place: "Place") -> None:
        self._unadmitted += 1
        origin = place.origin
        self._levels[len(origin.unadmitted)].pop(origin, None)
        origin.unadmitted[place] = None
        count = len(origin.unadmitted)
        if count == len(self._levels):
            self._levels.append({})
        self._levels[count][origin] = None

    def _waits_no_more(self, place: "Place") -> None:
        self._unadmitted -= 1
        origin = place.origin
        del self._levels[len(origin.unadmitted)][origin]
        del origin.unadmitted[place]
        if origin.unadmitted:
            self._levels[len(origin.unadmitted)][origin] = None
        while len(self._levels) > 1 and not self._levels[-1]:
            self._levels.pop()


class _Origin:
    """The connections of one origin.

    Attributes:
        inside: how many connections it has.
        unadmitted: its connections without an admitted call, the oldest first.
    """

    __slots__ = ("inside", "name", "unadmitted")

    def __init__(self, name: str) -> None:
        self.name = name
        self.inside = 0
        self.unadmitted: dict[Place, None] = {}


class Place:
    """The place of one connection in the counts.

    Attributes:
        origin: the origin of the connection.
        is_departing: whether it was displaced, and is no longer counted.
    """

    __slots__ = ("_expel", "_is_admitted", "_is_over", "_limits", "is_departing", "origin")

    def __init__(self, limits: ConnectionLimits, origin: _Origin) -> None:
        self._limits = limits
        self._expel: Callable[[], None] | None = None
        self._is_admitted = False
        self._is_over = False
        self.origin = origin
        self.is_departing = False

    def on_depart(self, expel: Callable[[], None]) -> None:
        """Sets the callback that closes the connection at once when it is displaced."""
        self._expel = expel

    def depart(self) -> None:
        """Closes the displaced connection. Called by `ConnectionLimits`."""
        self.is_departing = True
        if self._expel is not None:
            self._expel()

    def admitted(self) -> None:
        """Records that the connection has had an admitted call. May be called repeatedly."""
        if not (self._is_admitted or self.is_departing or self._is_over):
            self._is_admitted = True
            self._limits.admitted(self)

    def end(self) -> None:
        """Records that the connection is closed. May be called repeatedly."""
        if not self._is_over:
            self._is_over = True
            # Breaks the reference cycle, which would stay in memory for long.
            self._expel = None
            self._limits.leave(self)
