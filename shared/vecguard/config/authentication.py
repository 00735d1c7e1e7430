"""Settings of the password check and of the proxy's caches."""

from typing import Annotated

from pydantic import Field

from vecguard.config.fields import Count, Seconds, Section
from vecguard.config.login_limits import LoginLimitSettings
from vecguard.passwords import MAX_COST, MIN_COST


class AuthenticationSettings(Section):
    """How passwords are hashed and checked."""

    bcrypt_cost: Annotated[int, Field(ge=MIN_COST, le=MAX_COST)] = Field(
        default=10,
        description="Cost of new password hashes: the binary logarithm of the number of rounds. "
        "A stored hash with a cost above 16 is treated as a corrupt record.",
    )
    verifier_threads: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Threads that check passwords, in each process of proxy.workers. 0: the "
        "number of CPUs divided by the number of workers, at least one.",
    )
    verifier_queue: Count = Field(
        default=1024,
        description="Maximum number of logins that wait for a thread. Above it, the newest login "
        "of the address with the most waiting logins is refused.",
    )
    verifier_queue_per_address: Count = Field(
        default=256,
        description="Maximum number of these from one address (IPv6: /64 network). Above it, the "
        "newest login of the user with the most waiting logins from there is refused. Two cores "
        "check about this many within verifierTimeout.",
    )
    verifier_timeout: Seconds = Field(
        default=10.0, description="Maximum time that a login waits for a thread."
    )
    login_limits: LoginLimitSettings = LoginLimitSettings()


class CacheSettings(Section):
    """What a proxy keeps in memory."""

    ttl: Seconds = Field(
        default=60.0,
        description="How long a proxy uses a user's record before it reads the record again. "
        "Accepted logins stay valid as long as the record is unchanged.",
    )
    max_credentials: Count = Field(
        default=10_000, description="Maximum number of users' records in memory."
    )
    max_logins: Count = Field(
        default=100_000, description="Maximum number of accepted logins in memory."
    )
