"""Computes the part of a lease that is not used because the clocks of two machines differ.

A lease has a granter and a holder, each with a clock of its own. The holder counts the lease
from before it asked for it, and treats it as over earlier than the granter does. With the
margin M of a lease of D seconds (M = D * ratio + fixed):

- the holder uses D - M seconds by its own clock. The granter, which counts D seconds from a later
  moment, finds it over no earlier, if the holder's clock makes at least 1 - ratio seconds in a
  second of the granter's clock;
- a successor of the granter, which does not know the holder, waits D + M seconds by its own
  clock. The holder's clock has then made D seconds, if the successor's clock makes at most
  1 + ratio seconds in a second of the holder's clock.

`fixed` is for everything that does not grow with D. The holder is a proxy with a session's lease,
or the active root coord with its leadership lease in etcd; docs/revocation.md describes the
protocol. No clock is read here.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClockMargin:
    """How much earlier than its granter the holder treats a lease as over.

    Attributes:
        ratio: the part of the lease's length that is not used, for clocks that run at
            different speeds; at least 0 and below 1.
        fixed_seconds: the further time that is not used; at least 0.
    """

    ratio: float
    fixed_seconds: float

    def given_up_seconds(self, lease_seconds: float) -> float:
        """Returns the margin of a lease of this length."""
        return lease_seconds * self.ratio + self.fixed_seconds

    def usable_seconds(self, lease_seconds: float) -> float:
        """Returns for how long the holder may use the lease, counted from before it asked.

        Zero or negative: the margin leaves nothing of the lease.
        """
        return lease_seconds * (1 - self.ratio) - self.fixed_seconds

    def outlasting_seconds(self, lease_seconds: float) -> float:
        """Returns how long to wait until a lease that another process granted is over."""
        return lease_seconds + self.given_up_seconds(lease_seconds)
