"""Limits failed logins, by token buckets.

Only failures that cost a bcrypt count: a password that is known to be wrong can be repeated
without limit, because the answer reveals nothing new. Logins that are known to be right are not
limited at all.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NoReturn, Protocol

from vecguard.clock import Clock
from vecguard.proxy.authentication.buckets import Buckets, Rate
from vecguard.proxy.authentication.errors import LoginLimitedError
from vecguard.proxy.authentication.failed_names import FailedNames

# The maximum number of remembered entries of each kind: a few megabytes, and more than the
# addresses and names that fail within the minutes in which a bucket fills.
MAX_TRACKED = 20_000
# The names of the tables in addition to those in `Bucket`.
_FIRST_FAILURES, _FAILED_NAMES = "first_failures", "failed_names"


class Bucket(StrEnum):
    """The keys by which failures are counted."""

    PAIR = "pair"  # the user name and the address
    ADDRESS = "address"
    NAME = "name"


class Suspicion(IntEnum):
    """Which parts of a login have failed lately; lower values are served first."""

    NONE = 0
    NAME = 1  # only this user name, from another origin
    ORIGIN = 2  # only other user names from the same origin
    PAIR = 3  # this user name from this origin


class LoginLimits(Protocol):
    """Decides whether an unknown login may be checked.

    Attributes:
        hits: how many logins each kind of bucket has refused.
    """

    hits: Counter[Bucket]

    def tracked(self) -> Mapping[str, int]:
        """Returns how many entries each table remembers."""
        ...

    def check_origin(self, origin: str) -> None:
        """Raises LoginLimitedError if no login of this origin may be checked now."""
        ...

    def check(self, origin: str, username: str) -> None:
        """Raises LoginLimitedError if this name may not be checked for this origin now."""
        ...

    def is_suspect(self, origin: str) -> bool:
        """Returns whether the origin has failed lately, so that others are served first."""
        ...

    def suspicion(self, origin: str, username: str) -> Suspicion:
        """Returns what has failed lately; does not depend on whether the name exists."""
        ...

    def failed(self, origin: str, username: str) -> None:
        """Records a login that was wrong, or was cancelled during the check."""
        ...

    def succeeded(self, origin: str, username: str) -> None:
        """Records a login that was right."""
        ...


class NoLimits:
    """Allows every login. Names that have failed are still served after others."""

    def __init__(self, *, max_tracked: int = MAX_TRACKED, clock: Clock) -> None:
        """Remembers at most `max_tracked` pairs of an origin and a name."""
        self.hits = _no_hits()
        self._failed = FailedNames(max_tracked, clock)

    def tracked(self) -> Mapping[str, int]:
        """Returns the one table that it has."""
        return {_FAILED_NAMES: len(self._failed)}

    def check_origin(self, origin: str) -> None:
        """Allows every origin."""

    def check(self, origin: str, username: str) -> None:
        """Allows every name."""

    def is_suspect(self, origin: str) -> bool:
        """Returns False, because all clients may come from one address."""
        del origin
        return False

    def suspicion(self, origin: str, username: str) -> Suspicion:
        """Returns PAIR after a failure of this name from this origin, else NONE."""
        return Suspicion.PAIR if (origin, username) in self._failed else Suspicion.NONE

    def failed(self, origin: str, username: str) -> None:
        """Remembers the failure of this name from this origin."""
        self._failed.failed(origin, username)

    def succeeded(self, origin: str, username: str) -> None:
        """Forgets the failures of this name from this origin."""
        self._failed.succeeded(origin, username)


@dataclass(frozen=True, slots=True)
class FailureRates:
    """The rates of the kinds of buckets.

    Attributes:
        pair: for failures of one user name from one origin.
        origin: for failures of all user names from one origin, and in a separate bucket for the
            first failure of each name from that origin.
        name: for failures of one user name from all origins.
    """

    pair: Rate
    origin: Rate
    name: Rate


class FailureLimits:
    """Limits failures by buckets for (name, origin), origin, and name.

    The bucket of a name limits only origins that have failed with this name themselves. So a
    name that is attacked from elsewhere stays usable for its owner: the first try from each
    origin is always checked. The bucket of a name slows an attacker down on all of its
    addresses together.

    An origin has two buckets. One counts all its failures, and limits names that have failed
    from it lately. The other counts only the first failure of each name, and limits names that
    have not failed from it. So guesses at a few names do not use up the tokens of other users
    behind the same address, and guesses at many names are limited as by one bucket.
    """

    def __init__(
        self, rates: FailureRates, *, max_tracked: int = MAX_TRACKED, clock: Clock
    ) -> None:
        """Remembers at most `max_tracked` buckets of each kind."""
        self._pairs = Buckets(rates.pair, max_tracked)
        self._origins = Buckets(rates.origin, max_tracked)
        self._first_failures = Buckets(rates.origin, max_tracked)
        self._names = Buckets(rates.name, max_tracked)
        self._failed = FailedNames(max_tracked, clock)
        self._clock = clock
        self.hits = _no_hits()

    def tracked(self) -> Mapping[str, int]:
        return {
            Bucket.PAIR: len(self._pairs),
            Bucket.ADDRESS: len(self._origins),
            Bucket.NAME: len(self._names),
            _FIRST_FAILURES: len(self._first_failures),
            _FAILED_NAMES: len(self._failed),
        }

    def check_origin(self, origin: str) -> None:
        # Each token taken from this bucket was taken from the bucket of all failures as well.
        wait = self._first_failures.wait_seconds(origin, self._clock())
        if wait > 0:
            self._refuse(Bucket.ADDRESS, wait)

    def check(self, origin: str, username: str) -> None:
        now = self._clock()
        pair = origin, username
        failures = self._origins if pair in self._failed else self._first_failures
        waits = {
            Bucket.ADDRESS: failures.wait_seconds(origin, now),
            Bucket.PAIR: self._pairs.wait_seconds(pair, now),
        }
        if not self._pairs.is_full(pair, now):
            waits[Bucket.NAME] = self._names.wait_seconds(username, now)
        longest = max(waits, key=waits.__getitem__)
        if waits[longest] > 0:
            self._refuse(longest, waits[longest])

    def is_suspect(self, origin: str) -> bool:
        return not self._origins.is_full(origin, self._clock())

    def suspicion(self, origin: str, username: str) -> Suspicion:
        now = self._clock()
        pair = origin, username
        # Checks both, because either may have been evicted, or lasts longer.
        if pair in self._failed or not self._pairs.is_full(pair, now):
            return Suspicion.PAIR
        if self.is_suspect(origin):
            return Suspicion.ORIGIN
        if not self._names.is_full(username, now):
            return Suspicion.NAME
        return Suspicion.NONE

    def failed(self, origin: str, username: str) -> None:
        now = self._clock()
        self._pairs.take((origin, username), now)
        self._origins.take(origin, now)
        self._names.take(username, now)
        if self._failed.failed(origin, username):
            self._first_failures.take(origin, now)

    def succeeded(self, origin: str, username: str) -> None:
        # Only the pair: a right login must not allow more guesses at other names.
        self._pairs.refill((origin, username))
        self._failed.succeeded(origin, username)

    def _refuse(self, bucket: Bucket, wait_seconds: float) -> NoReturn:
        self.hits[bucket] += 1
        raise LoginLimitedError(wait_seconds)


def _no_hits() -> Counter[Bucket]:
    return Counter(dict.fromkeys(Bucket, 0))
