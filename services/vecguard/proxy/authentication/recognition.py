"""A login that was recognised, for the calls that show the same one after it."""

import hmac
from typing import Final

from vecguard.proxy.authentication.credentials import Held

_are_equal: Final = hmac.compare_digest
# After as many calls the login is looked up again, so that it and its user count as used
# where the one that was used longest ago is forgotten.
_MAX_REPEATS: Final = 100


class Recognition:
    """Who a login is from, together with all that this rests on.

    The call that has shown the login keeps this as long as it is open, and nobody keeps it
    longer: it holds the `authorization` value itself, which the call has anyhow.
    """

    __slots__ = ("_held", "_repeats", "_value", "revision", "username")

    def __init__(self, value: bytes, held: Held) -> None:
        """`value` was found to be right by `held`."""
        self.username = held.credential.username
        self.revision = held.credential.revision
        self._value = value
        self._held = held
        self._repeats = 0

    def repeated(self, value: bytes) -> Held | None:
        """By what `value` is right, provided that it counts still; None: that is not known.

        How long this takes tells nothing about the value that is known but its length.
        """
        if self._repeats >= _MAX_REPEATS or not _are_equal(value, self._value):
            return None
        self._repeats += 1
        return self._held
