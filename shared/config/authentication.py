"""The cost of checking passwords, and what is remembered of it."""

from typing import Annotated

from pydantic import Field

from shared.config.fields import Count, Seconds, Section


class AuthenticationSettings(Section):
    """Checking passwords with bcrypt."""

    bcrypt_cost: Annotated[int, Field(ge=4, le=31)] = Field(
        default=10, description="Cost of a new hash: the binary logarithm of its rounds."
    )
    verifier_threads: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Threads that check passwords; 0: one per core."
    )
    verifier_queue: Count = Field(
        default=256, description="Logins that may wait for a thread; more are refused at once."
    )
    verifier_timeout: Seconds = Field(
        default=10.0, description="How long a login may wait for a thread, in seconds."
    )


class CacheSettings(Section):
    """What a proxy remembers."""

    ttl: Seconds = Field(
        default=60.0, description="How long a credential or a login is remembered, in seconds."
    )
    max_credentials: Count = Field(default=10_000, description="Most credentials remembered.")
    max_logins: Count = Field(default=100_000, description="Most accepted logins remembered.")
    max_refusals: Count = Field(default=100_000, description="Most refused logins remembered.")
