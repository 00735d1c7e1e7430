"""Settings of the limit on failed logins."""

from typing import Annotated

from pydantic import Field

from vecguard.config.fields import Count, Section

PerMinute = Annotated[float, Field(gt=0)]


class LoginLimitSettings(Section):
    """Sizes and rates of the token buckets of failed logins, in each proxy process.

    A bucket holds a limited number of failures and regains a number of them each minute. A wrong
    password that is repeated fails only once; a known login never fails.
    """

    enabled: bool = Field(
        default=True,
        description="Whether failed logins are limited; false where all clients come from one "
        "address, such as that of a load balancer that hides them.",
    )
    pair_burst: Count = Field(
        default=20,
        description="Wrong passwords for one user from one address (IPv6: /64) that are judged "
        "at once; a person does not type as many.",
    )
    pair_per_minute: PerMinute = Field(
        default=10.0, description="Further ones for each minute, after that."
    )
    address_burst: Count = Field(
        default=100,
        description="Failed logins from one address (IPv6: /64) that are judged at once; as many "
        "apart from these are a user's first one from there, and only they concern users who have "
        "not failed there. An office may be behind it.",
    )
    address_per_minute: PerMinute = Field(
        default=60.0, description="Further ones for each minute, after that."
    )
    name_burst: Count = Field(
        default=100,
        description="Failed logins of one user from all addresses after which an address "
        "that has failed with this user has to wait; others do not.",
    )
    name_per_minute: PerMinute = Field(
        default=60.0, description="Further ones for each minute, after that."
    )
    delay: Annotated[float, Field(ge=0)] = Field(
        default=1.0,
        description="About how long the refusal of a login over a limit, or that finds no place to "
        "wait, is held back, in seconds (from 3/4 of it to 5/4), also without limits, so that "
        "clients which repeat it at once do so no more often.",
    )
