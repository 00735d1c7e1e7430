"""A known login, which makes further calls with the same login cheaper."""

import hmac
from typing import Final

from vecguard.proxy.authentication.credentials import Held
from vecguard.proxy.principal import Principal

_are_equal: Final = hmac.compare_digest
# After this many calls the login is looked up again, so that it and its user count as used in the
# LRU caches.
_MAX_REPEATS: Final = 100


class KnownLogin(Principal):
    """The principal of a login, with the `authorization` value and the record that prove it.

    Only the call with this login keeps it, while it is open, because it holds the
    `authorization` value, which the call holds as well.
    """

    __slots__ = ("_held", "_repeats", "_value")

    def __init__(self, value: bytes, held: Held) -> None:
        """`held` has proved that `value` is right."""
        super().__init__(held.credential.username, held.credential.revision)
        self._value = value
        self._held = held
        self._repeats = 0

    def repeated(self, value: bytes) -> Held | None:
        """Returns the record that proves `value`, to be checked for freshness; None if unknown.

        The time that it takes reveals only the length of the known value.
        """
        if self._repeats >= _MAX_REPEATS or not _are_equal(value, self._value):
            return None
        self._repeats += 1
        return self._held
