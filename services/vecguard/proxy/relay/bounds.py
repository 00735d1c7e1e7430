"""Defines `Bounds`: the limits of all client connections together."""

from dataclasses import dataclass

from vecguard.proxy.relay.clients.connection_limits import ConnectionLimitsPolicy
from vecguard.proxy.relay.clients.lifetime import LifetimePolicy


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds what all clients of a process may use together.

    Attributes:
        buffered_bytes: the maximum number of bytes that wait for slow receivers, in both
            directions; above it, the clients with the most waiting bytes lose their calls. Ten
            thousand honest clients never come near it, because their data moves. Windows bound each
            stream and each connection.
        connections: how many there may be, in all and from one address.
        lifetime: how long connections may last.
    """

    buffered_bytes: int
    connections: ConnectionLimitsPolicy
    lifetime: LifetimePolicy
