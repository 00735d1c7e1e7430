"""How many clients may be connected, in all and from one address."""

from collections import Counter
from dataclasses import dataclass

from services.proxy.http2.limits import Limit, LimitHits


@dataclass(frozen=True, slots=True)
class DoorwayPolicy:
    """The bounds.

    Attributes:
        connections: clients in all; each costs up to some 30 KiB when it is idle, and a file
            descriptor.
        connections_per_address: clients of one address (IPv6: of one /64). It must be well
            below the whole, or one of them could shut out all others; and well over what
            one machine needs, since many may be behind one address.
    """

    connections: int = 10_000
    connections_per_address: int = 2000


class Doorway:
    """Counts who is inside."""

    def __init__(self, policy: DoorwayPolicy, hits: LimitHits) -> None:
        self._policy = policy
        self._hits = hits
        self._inside = 0
        self._by_origin: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._inside

    def enter(self, origin: str) -> "Visit | None":
        """One more of this origin, which must be ended; None: there is no room for it."""
        if self._inside >= self._policy.connections:
            self._hits.hit(Limit.CONNECTIONS)
            return None
        if self._by_origin[origin] >= self._policy.connections_per_address:
            self._hits.hit(Limit.CONNECTIONS_PER_ADDRESS)
            return None
        self._inside += 1
        self._by_origin[origin] += 1
        return Visit(self, origin)

    def leave(self, origin: str) -> None:
        """One of this origin is gone."""
        self._inside -= 1
        self._by_origin[origin] -= 1
        if not self._by_origin[origin]:
            del self._by_origin[origin]


class Visit:
    """One client, as long as it is counted.

    Attributes:
        origin: what its address counts as.
    """

    __slots__ = ("_doorway", "_is_over", "origin")

    def __init__(self, doorway: Doorway, origin: str) -> None:
        self._doorway = doorway
        self.origin = origin
        self._is_over = False

    def end(self) -> None:
        """It is gone; to say so twice does no harm."""
        if not self._is_over:
            self._is_over = True
            self._doorway.leave(self.origin)
