"""Settings of the limit on failed logins."""

from typing import Annotated

from pydantic import Field

from vecguard.config.fields import Count, SecondsOrZero, Section

PerMinute = Annotated[float, Field(gt=0)]


class LoginLimitSettings(Section):
    """Limits on failed logins in each proxy process, as token buckets.

    A wrong password that is repeated counts once, and a known login never counts.
    """

    enabled: bool = Field(
        default=True,
        description="Whether failed logins are limited. Behind a load balancer, keep it true and "
        "set proxy.proxyProtocol.trusted or proxy.forwardedFor.trusted.",
    )
    pair_burst: Count = Field(
        default=20,
        description="Failed logins allowed per user and address (IPv6: /64 network) before "
        "throttling.",
    )
    pair_per_minute: PerMinute = Field(
        default=10.0,
        description="Failed logins allowed per user and address in each minute after that.",
    )
    address_burst: Count = Field(
        default=100,
        description="Failed logins allowed per address (IPv6: /64 network) before throttling. "
        "The first failure of each user is counted separately, up to the same number, and only "
        "this second count throttles users without a failure at the address. Many users may share "
        "an address.",
    )
    address_per_minute: PerMinute = Field(
        default=60.0,
        description="Failed logins allowed per address in each minute after that, for both counts.",
    )
    name_burst: Count = Field(
        default=100,
        description="Failed logins allowed per user from all addresses together before "
        "throttling. Only addresses with a failed login of this user are throttled.",
    )
    name_per_minute: PerMinute = Field(
        default=60.0,
        description="Failed logins allowed per user from all addresses together in each minute "
        "after that.",
    )
    delay: SecondsOrZero = Field(
        default=1.0,
        description="How long a login waits for its refusal if it is throttled or the queue is "
        "full, varied by up to a quarter. It applies even if enabled is false. It slows down "
        "clients that retry immediately.",
    )
