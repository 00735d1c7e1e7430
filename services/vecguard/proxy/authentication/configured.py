"""Builds the authentication of a proxy from the settings."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from vecguard.clock import Clock
from vecguard.config.login_limits import LoginLimitSettings
from vecguard.config.settings import Settings
from vecguard.proxy.authentication.admission_queue import AdmissionQueue, QueueLimits
from vecguard.proxy.authentication.authenticator import Authenticator, Rehasher
from vecguard.proxy.authentication.buckets import Rate, TokenBucket
from vecguard.proxy.authentication.credentials import CredentialCache, CredentialSource
from vecguard.proxy.authentication.limits import (
    FailureLimits,
    FailureRates,
    LoginLimits,
    NoLimits,
)
from vecguard.proxy.authentication.login_counts import LoginCounts
from vecguard.proxy.authentication.logins import Logins
from vecguard.proxy.authentication.tarpit import Tarpit
from vecguard.proxy.authentication.trust import Trust
from vecguard.proxy.authentication.verifier import Observe, Verifier
from vecguard.proxy.cpus import usable_cpus

# The shortest time between two reads of a user's record because of wrong passwords.
_REFRESH_INTERVAL_SECONDS = 1.0
# The maximum number of look-ups at a time. A look-up mostly waits, and this many keep root coord
# busy over any network. Unknown logins cause fewer: no more than there are threads that check
# passwords.
_FETCHES_AT_A_TIME = 32
# The rate of look-ups of users that are not cached, so that guesses at names do not keep root coord
# and etcd busy. If more users may exist than the burst, their number is the burst, because all of
# them come back after a restart.
FETCH_BURST, FETCHES_PER_SECOND = 1000, 100.0
# The maximum number of remembered refused logins, which cost no bcrypt when they are repeated: some
# 30 MiB.
MAX_REFUSED_LOGINS = 100_000


@dataclass(frozen=True, slots=True)
class Authentication:
    """The authenticator, which decides which user a call is from, and its parts.

    Attributes:
        credentials: the cached records of users.
        logins: the remembered verdicts.
        verifier: runs bcrypt.
        limits: limits failed logins.
        lookup_queue: admits look-ups of users that are not cached.
        tarpit: delays refusals.
        counts: how logins ended.
        authenticator: checks logins.
    """

    credentials: CredentialCache
    logins: Logins
    verifier: Verifier
    limits: LoginLimits
    lookup_queue: AdmissionQueue
    tarpit: Tarpit
    counts: LoginCounts
    authenticator: Authenticator

    def close(self) -> None:
        """Drops what waits for a bcrypt thread or a look-up; running jobs end by themselves."""
        self.verifier.close()
        self.lookup_queue.close()


def open_authentication(
    settings: Settings,
    *,
    source: CredentialSource,
    rehasher: Rehasher,
    trust: Trust,
    under_lease: Callable[[], bool],
    verifier: Verifier,
    clock: Clock,
) -> Authentication:
    """Returns the configured authentication.

    Args:
        settings: all settings.
        source: reads records of users: root coord.
        rehasher: replaces a hash of an outdated cost: root coord.
        trust: says whether memory may decide.
        under_lease: returns whether invalidations are certain to arrive.
        verifier: from `open_verifier`; it is closed by `Authentication.close`.
        clock: also the clock of `trust`.
    """
    credentials = CredentialCache(
        source,
        ttl_seconds=settings.cache.ttl,
        max_known=settings.cache.max_credentials,
        max_unknown=settings.cache.max_credentials,
        refresh_interval_seconds=_REFRESH_INTERVAL_SECONDS,
        clock=clock,
        under_lease=under_lease,
    )
    logins = Logins(
        max_accepted=settings.cache.max_logins,
        max_refused=MAX_REFUSED_LOGINS,
        key=secrets.token_bytes(32),
    )
    limits = _login_limits(settings.authentication.login_limits, clock)
    lookup_queue = AdmissionQueue(
        _FETCHES_AT_A_TIME,
        QueueLimits(
            settings.authentication.verifier_queue,
            settings.authentication.verifier_queue_per_address,
            settings.authentication.verifier_timeout,
        ),
        pace=TokenBucket(fetch_rate(settings.proxy.max_user_num)),
        clock=clock,
    )
    return Authentication(
        credentials=credentials,
        logins=logins,
        verifier=verifier,
        limits=limits,
        lookup_queue=lookup_queue,
        tarpit=Tarpit(settings.authentication.login_limits.delay),
        counts=LoginCounts(),
        authenticator=Authenticator(
            logins=logins,
            credentials=credentials,
            verifier=verifier,
            trust=trust,
            rehasher=rehasher,
            clock=clock,
            limits=limits,
            lookup_queue=lookup_queue,
        ),
    )


def open_verifier(
    settings: Settings,
    *,
    clock: Clock,
    observe: Observe = lambda _operation, _seconds: None,
) -> Verifier:
    """Returns the configured verifier. No thread runs yet.

    Args:
        settings: all settings.
        clock: measures the runs for `observe`.
        observe: called after each run of bcrypt.
    """
    return Verifier(
        threads=settings.authentication.verifier_threads
        or max(1, usable_cpus() // settings.proxy.workers),
        queue_limit=settings.authentication.verifier_queue,
        queue_limit_per_origin=settings.authentication.verifier_queue_per_address,
        timeout_seconds=settings.authentication.verifier_timeout,
        cost=settings.authentication.bcrypt_cost,
        clock=clock,
        observe=observe,
    )


def fetch_rate(max_users: int) -> Rate:
    """Returns the rate of look-ups of users that are not cached, for `max_users` users."""
    return Rate(max(FETCH_BURST, max_users), FETCHES_PER_SECOND)


def _login_limits(settings: LoginLimitSettings, clock: Clock) -> LoginLimits:
    if not settings.enabled:
        return NoLimits(clock=clock)
    return FailureLimits(
        FailureRates(
            pair=Rate.per_minute(settings.pair_burst, settings.pair_per_minute),
            origin=Rate.per_minute(settings.address_burst, settings.address_per_minute),
            name=Rate.per_minute(settings.name_burst, settings.name_per_minute),
        ),
        clock=clock,
    )
