"""The bounds of a whole process, beside those of each connection."""

from dataclasses import dataclass

from vecguard.proxy.relay.clients.doorway import DoorwayPolicy
from vecguard.proxy.relay.clients.lifetime import LifetimePolicy


@dataclass(frozen=True, slots=True)
class Bounds:
    """What all clients of a process may take together.

    Attributes:
        buffered_bytes: what waits for receivers that do not take it, in both directions,
            before those for whom most waits lose their calls. Ten thousand honest clients
            never come near it, because their data moves; what one stream and one connection
            may hold is bounded by their windows.
        doorway: connections.
        lifetime: how long they last.
    """

    buffered_bytes: int
    doorway: DoorwayPolicy
    lifetime: LifetimePolicy
