"""Settings of the password check and of the proxy's caches."""

from typing import Annotated

from pydantic import Field

from vecguard.config.fields import Count, Seconds, Section
from vecguard.config.login_limits import LoginLimitSettings
from vecguard.passwords import MAX_COST, MIN_COST


class AuthenticationSettings(Section):
    """Settings of the password check with bcrypt."""

    bcrypt_cost: Annotated[int, Field(ge=MIN_COST, le=MAX_COST)] = Field(
        default=10,
        description="Cost of a new hash: the binary logarithm of its rounds. A stored hash of a "
        "higher cost than 16 counts as a corrupt record.",
    )
    verifier_threads: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Threads that check passwords, in each of proxy.workers; 0: as many as there "
        "are CPUs for each worker, at least one.",
    )
    verifier_queue: Count = Field(
        default=1024,
        description="Logins that may wait for a thread; over it, the last of the address with "
        "the most waiting is refused.",
    )
    verifier_queue_per_address: Count = Field(
        default=256,
        description="Of these from one address (IPv6: /64); over it, the last of the user with the "
        "most waiting there is refused. Two cores check as many in verifierTimeout.",
    )
    verifier_timeout: Seconds = Field(
        default=10.0, description="How long a login may wait for a thread, in seconds."
    )
    login_limits: LoginLimitSettings = LoginLimitSettings()


class CacheSettings(Section):
    """Settings of a proxy's caches."""

    ttl: Seconds = Field(
        default=60.0,
        description="How long a user's record is used without being read again, in seconds. Logins "
        "are remembered for as long as it is unchanged.",
    )
    max_credentials: Count = Field(default=10_000, description="Most credentials remembered.")
    max_logins: Count = Field(default=100_000, description="Most accepted logins remembered.")
