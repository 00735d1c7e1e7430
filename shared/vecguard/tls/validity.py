"""Judges the validity of certificates, for logs, health, metrics and commands."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final, Self

from cryptography import x509

from vecguard.tls.certificates import name_of
from vecguard.tls.path import CertificatePath, Paths, rank

#: An end nearer than this is reported. The alert of deploy/prometheus comes later, at 14 days.
WARN_BEFORE_SECONDS: Final = 30 * 86_400.0
_DAY_SECONDS: Final = 86_400


class Stage(IntEnum):
    """The state of a certificate at one moment; the worst is the highest."""

    GOOD = 0
    ENDS_SOON = 1
    NOT_YET_VALID = 2
    ENDED = 3


@dataclass(frozen=True, slots=True)
class Validity:
    """The period in which one certificate is valid.

    Attributes:
        name: the certificate's name, for people.
        begins: seconds since the epoch.
        ends: seconds since the epoch.
    """

    name: str
    begins: float
    ends: float

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Self:
        """Reads the period of a certificate."""
        return cls(
            name_of(certificate),
            certificate.not_valid_before_utc.timestamp(),
            certificate.not_valid_after_utc.timestamp(),
        )

    def left_seconds(self, now: float) -> float:
        """Returns the seconds from `now` (since the epoch) until the end; negative afterwards."""
        return self.ends - now

    def stage(self, now: float) -> Stage:
        """Returns the state of the certificate at `now` (since the epoch)."""
        if self.left_seconds(now) <= 0:
            return Stage.ENDED
        if self.begins > now:
            return Stage.NOT_YET_VALID
        return Stage.ENDS_SOON if self.left_seconds(now) <= WARN_BEFORE_SECONDS else Stage.GOOD

    def text(self, now: float) -> str:
        """Describes the state: the name, the days, and the moment."""
        stage = self.stage(now)
        if stage is Stage.NOT_YET_VALID:
            return f"{self.name} is not valid before {_moment(self.begins)}"
        days = self.left_seconds(now) / _DAY_SECONDS
        if stage is Stage.ENDED:
            return f"{self.name} expired {-days:.1f} days ago ({_moment(self.ends)})"
        return f"{self.name} expires in {days:.1f} days ({_moment(self.ends)})"


class SetValidity:
    """The period in which a set of files works.

    The certificates that count depend on the moment: a file may already hold a successor that is
    not valid yet. Every `now` is in seconds since the epoch.
    """

    def __init__(
        self, chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate]
    ) -> None:
        """Finds the certificates that peers may check and the CAs by which peers are judged.

        Args:
            chain: own certificate first, then intermediates in any order; may be empty.
            authorities: the CAs by which peers are judged; peers are assumed to trust the same.
        """
        self._all = tuple(dict.fromkeys((*chain, *authorities)))
        self._authorities = tuple(authorities)
        self._paths = Paths(chain, authorities)

    def path(self, now: float) -> CertificatePath:
        """Returns the path from our certificate to the CA that peers trust, as far as known."""
        return self._paths.best(now)

    def needed(self, now: float) -> tuple[Validity, ...]:
        """Returns what must be valid: the path, and the best of the CAs that judge peers."""
        return tuple(map(Validity.of, self._needed(now)))

    def ends(self, now: float) -> float | None:
        """Returns when the set stops working, in seconds since the epoch; None if it does not."""
        return min((each.ends for each in self.needed(now)), default=None)

    def worst(self, now: float) -> Validity | None:
        """Returns the needed certificate in the worst stage; None when none ends."""
        return max(self.needed(now), key=lambda each: (each.stage(now), -each.ends), default=None)

    def unused_ended(self, now: float) -> tuple[Validity, ...]:
        """Returns expired certificates that are not needed: peers do not check them."""
        needed = frozenset(self._needed(now))
        unused = (Validity.of(each) for each in self._all if each not in needed)
        return tuple(each for each in unused if each.stage(now) is Stage.ENDED)

    def _needed(self, now: float) -> list[x509.Certificate]:
        needed = list(self.path(now))
        if self._authorities:
            best = min(self._authorities, key=lambda each: rank(each, now))
            if best not in needed:
                needed.append(best)
        return needed


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
