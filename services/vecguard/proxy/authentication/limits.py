"""Who has failed too often to be judged again now.

Only failures cost, and only those that cost us a bcrypt: a password that is known to be
wrong can be repeated for ever, it teaches nobody anything. A login that is known to be
right never comes here at all.
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

# Entries that are remembered of each kind: a few megabytes, and more than the addresses and names
# that fail within the minutes in which a bucket fills again.
MAX_TRACKED = 20_000
# Tables that are remembered beside the buckets which `Bucket` names.
_FIRST_FAILURES, _FAILED_NAMES = "first_failures", "failed_names"


class Bucket(StrEnum):
    """What failures are counted by."""

    PAIR = "pair"  # the user name and the address
    ADDRESS = "address"
    NAME = "name"


class Suspicion(IntEnum):
    """What failed lately of that which a login has: the less, the sooner its turn comes."""

    NONE = 0
    NAME = 1  # only this user name, somewhere else
    ORIGIN = 2  # only other user names from the same origin
    PAIR = 3  # this user name from this origin


class LoginLimits(Protocol):
    """Decides whether a login that is not known may be judged.

    Attributes:
        hits: how often each kind of bucket was the reason that one was not.
    """

    hits: Counter[Bucket]

    def tracked(self) -> Mapping[str, int]:
        """How many entries of each table are remembered."""
        ...

    def check_origin(self, origin: str) -> None:
        """Raises LoginLimitedError if nothing from there is judged now."""
        ...

    def check(self, origin: str, username: str) -> None:
        """Raises LoginLimitedError if this name is not judged from there now."""
        ...

    def is_suspect(self, origin: str) -> bool:
        """Whether there were failures from there lately: others go first."""
        ...

    def suspicion(self, origin: str, username: str) -> Suspicion:
        """What there were failures of lately, the same whether or not the name exists."""
        ...

    def failed(self, origin: str, username: str) -> None:
        """A login was judged and found wrong, or was given up while it was judged."""
        ...

    def succeeded(self, origin: str, username: str) -> None:
        """A login was judged and found right."""
        ...


class NoLimits:
    """The off switch: every login is judged. Names that have failed still come after others."""

    def __init__(self, *, max_tracked: int = MAX_TRACKED, clock: Clock) -> None:
        """At most `max_tracked` pairs of address and name are remembered."""
        self.hits = _no_hits()
        self._failed = FailedNames(max_tracked, clock)

    def tracked(self) -> Mapping[str, int]:
        """There are no buckets."""
        return {_FAILED_NAMES: len(self._failed)}

    def check_origin(self, origin: str) -> None:
        """Passes."""

    def check(self, origin: str, username: str) -> None:
        """Passes."""

    def is_suspect(self, origin: str) -> bool:
        """Never: all clients may come from one address."""
        del origin
        return False

    def suspicion(self, origin: str, username: str) -> Suspicion:
        """Only what this name has done from there counts."""
        return Suspicion.PAIR if (origin, username) in self._failed else Suspicion.NONE

    def failed(self, origin: str, username: str) -> None:
        """The name comes after others from there."""
        self._failed.failed(origin, username)

    def succeeded(self, origin: str, username: str) -> None:
        """The name comes with the others again."""
        self._failed.succeeded(origin, username)


@dataclass(frozen=True, slots=True)
class FailureRates:
    """What each kind of bucket holds.

    Attributes:
        pair: failures of one user name from one origin.
        origin: failures of all user names from one origin; and, in a bucket of its own, the
            first failure of each name from there.
        name: failures of one user name from all origins.
    """

    pair: Rate
    origin: Rate
    name: Rate


class FailureLimits:
    """Buckets of failures: (name, origin), origin, and name.

    The name's own bucket counts only for an origin that has failed with this name itself.
    So a name that is attacked from elsewhere stays open to its owner: the first try from each
    origin is always judged. What a name's bucket adds is that an attacker with many addresses
    is slowed down on all of them together.

    An origin has two buckets. One counts all its failures, and is asked for names that have
    failed there lately. The other counts the first failure of each name only, and is asked for
    names that have not failed there: so guesses at a few names do not use up what others behind
    the same address need, and guesses at ever new names get no further than they would by one
    bucket.
    """

    def __init__(
        self, rates: FailureRates, *, max_tracked: int = MAX_TRACKED, clock: Clock
    ) -> None:
        """At most `max_tracked` buckets of each kind are remembered."""
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
        # Whatever was taken here was taken from the bucket of all failures as well.
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
        # Both are asked: either may have been pushed out of memory, or hold for longer.
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
        # Only here: one good login must not open the door for guesses at others.
        self._pairs.refill((origin, username))
        self._failed.succeeded(origin, username)

    def _refuse(self, bucket: Bucket, wait_seconds: float) -> NoReturn:
        self.hits[bucket] += 1
        raise LoginLimitedError(wait_seconds)


def _no_hits() -> Counter[Bucket]:
    return Counter(dict.fromkeys(Bucket, 0))
