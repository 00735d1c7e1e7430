"""Remembers checked logins, so that a known login costs no bcrypt."""

import hashlib

from vecguard.proxy.authentication.recent import Recent
from vecguard.proxy.principal import Principal


class Logins:
    """Remembers accepted and refused logins by a keyed digest.

    The digest is BLAKE2b (RFC 7693) with a random key of this process: no clear password stays
    in memory, and the time of a look-up reveals nothing about a password. Refusals are kept
    separately, so that a flood of them cannot evict accepted logins. An entry counts only while
    its revision is the newest.

    Attributes:
        generation: how many times everything was dropped; a verdict of an earlier generation is
            about revisions that are no longer valid.
    """

    def __init__(self, *, max_accepted: int, max_refused: int, key: bytes) -> None:
        self._accepted: Recent[bytes, Principal] = Recent(max_accepted)
        self._refused: Recent[bytes, Principal] = Recent(max_refused)
        # Copying a keyed hash costs a third less than creating one.
        self._keyed = hashlib.blake2b(digest_size=16, key=key)
        self.generation = 0

    def clear(self) -> None:
        """Drops every verdict."""
        self.generation += 1
        self._accepted.clear()
        self._refused.clear()

    def sizes(self) -> dict[str, int]:
        """Returns how many verdicts of each kind are remembered."""
        return {"accepted": len(self._accepted), "refused": len(self._refused)}

    def digest(self, value: bytes) -> bytes:
        """Returns the digest by which an `authorization` value is remembered."""
        keyed = self._keyed.copy()
        keyed.update(value)
        return keyed.digest()

    def accepted(self, digest: bytes) -> Principal | None:
        """Returns the principal if the login was right, else None."""
        return self._accepted.get(digest)

    def refused(self, digest: bytes) -> Principal | None:
        """Returns the principal if the login was wrong, else None."""
        return self._refused.get(digest)

    def accept(self, digest: bytes, principal: Principal) -> None:
        """Remembers a right login."""
        self._refused.drop(digest)
        self._accepted.put(digest, principal)

    def refuse(self, digest: bytes, principal: Principal) -> None:
        """Remembers a wrong login."""
        self._accepted.drop(digest)
        self._refused.put(digest, principal)
