"""Settings of the revocation protocol's times."""

from typing import Annotated

from pydantic import Field

from vecguard.clock_margin import ClockMargin
from vecguard.config.fields import Seconds, Section


class ClockMarginSettings(Section):
    """The largest difference of two machines' clocks over the length of a lease."""

    ratio: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.01, description="Part of lease.ttl that is given up for clock drift."
    )
    fixed: Annotated[float, Field(ge=0)] = Field(
        default=0.1, description="What is given up in addition, in seconds."
    )


class LeaseSettings(Section):
    """Settings of the leases during which proxies may trust their caches."""

    ttl: Seconds = Field(default=10.0, description="Length of a session's lease, in seconds.")
    renew_interval: Seconds = Field(
        default=1.0, description="Time between two renewals, in seconds; below half of lease.ttl."
    )
    grace: Annotated[float, Field(ge=0)] = Field(
        default=1.0,
        description="How long after the loss of a lease requests wait for the next one instead of "
        "being refused, in seconds; after it open calls end, see endOpenCalls.",
    )
    end_open_calls: bool = Field(
        default=True,
        description="Whether open calls of users, such as long streams, end with UNAVAILABLE at a "
        "proxy that has been without a lease for lease.grace; false: they go on for as long as it "
        "is cut off, those of users who were revoked meanwhile as well. Concerns revocation: "
        "strict.",
    )
    clock_margin: ClockMarginSettings = ClockMarginSettings()

    @property
    def margin(self) -> ClockMargin:
        """The margin of all leases, those of the election included."""
        return ClockMargin(self.clock_margin.ratio, self.clock_margin.fixed)


class ElectionSettings(Section):
    """Settings of the election of the active root coord."""

    ttl: Seconds = Field(
        default=5.0, description="Length of the leader's own lease, in seconds; below lease.ttl."
    )
