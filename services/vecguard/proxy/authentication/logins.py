"""Logins that were checked before: the reason why a known one costs no bcrypt."""

import hashlib
from dataclasses import dataclass

from vecguard.proxy.authentication.recent import Recent


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a login was found to be from, by which version of the password."""

    username: str
    revision: int


class Logins:
    """Accepted and refused logins, by keyed digest.

    The digest is BLAKE2b (RFC 7693) with a random key of this process: no clear password
    stays in memory, and how long a look-up takes tells nothing about any password.
    Refusals are kept apart, so that a flood of them cannot push out a good login. An
    entry says nothing by itself: it holds only as long as its revision is the newest.

    Attributes:
        epoch: how often everything was forgotten; a verdict of another one is about revisions
            that mean nothing any more.
    """

    def __init__(self, *, max_accepted: int, max_refused: int, key: bytes) -> None:
        self._accepted: Recent[bytes, Principal] = Recent(max_accepted)
        self._refused: Recent[bytes, Principal] = Recent(max_refused)
        # To copy what has taken in the key costs a third less than to make it.
        self._keyed = hashlib.blake2b(digest_size=16, key=key)
        self.epoch = 0

    def clear(self) -> None:
        """Forgets every verdict."""
        self.epoch += 1
        self._accepted.clear()
        self._refused.clear()

    def sizes(self) -> dict[str, int]:
        """How many of each verdict are remembered."""
        return {"accepted": len(self._accepted), "refused": len(self._refused)}

    def digest(self, value: bytes) -> bytes:
        """By which an `authorization` value is remembered."""
        keyed = self._keyed.copy()
        keyed.update(value)
        return keyed.digest()

    def accepted(self, digest: bytes) -> Principal | None:
        """The login that was found right, if any."""
        return self._accepted.get(digest)

    def refused(self, digest: bytes) -> Principal | None:
        """The login that was found wrong, if any."""
        return self._refused.get(digest)

    def accept(self, digest: bytes, principal: Principal) -> None:
        """Remembers a right login."""
        self._refused.drop(digest)
        self._accepted.put(digest, principal)

    def refuse(self, digest: bytes, principal: Principal) -> None:
        """Remembers a wrong login."""
        self._accepted.drop(digest)
        self._refused.put(digest, principal)
