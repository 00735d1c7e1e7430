"""Settings of the revocation protocol's times."""

from typing import Annotated

from pydantic import Field

from vecguard.clock_margin import ClockMargin
from vecguard.config.fields import Seconds, SecondsOrZero, Section


class ClockMarginSettings(Section):
    """Allowance for the drift between two machines' clocks during a lease."""

    ratio: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.01, description="Fraction of a lease that is given up to allow for clock drift."
    )
    fixed: SecondsOrZero = Field(
        default=0.1, description="Time that is given up in addition to this fraction."
    )


class LeaseSettings(Section):
    """The leases under which proxies may decide from memory."""

    ttl: Seconds = Field(
        default=10.0,
        description="Length of a session's lease. If a proxy is cut off, a change waits at most "
        "this long for it.",
    )
    renew_interval: Seconds = Field(
        default=1.0,
        description="Time between two renewals of a lease. It must be less than half of lease.ttl.",
    )
    grace: SecondsOrZero = Field(
        default=1.0,
        description="How long requests wait for a new lease after the old one has expired. Then "
        "they are refused, and open calls end (see lease.endOpenCalls).",
    )
    end_open_calls: bool = Field(
        default=True,
        description="Whether users' open calls, such as long streams, end with UNAVAILABLE when "
        "a proxy has been without a lease for lease.grace. If false, they continue while the "
        "proxy is cut off, including those of users who were revoked in the meantime. It applies "
        "only if revocation is strict.",
    )
    clock_margin: ClockMarginSettings = ClockMarginSettings()

    @property
    def margin(self) -> ClockMargin:
        """The margin of all leases, those of the election included."""
        return ClockMargin(self.clock_margin.ratio, self.clock_margin.fixed)


class ElectionSettings(Section):
    """The election of the active root coord."""

    ttl: Seconds = Field(
        default=5.0,
        description="Length of the active root coord's own lease. It must be less than lease.ttl.",
    )
