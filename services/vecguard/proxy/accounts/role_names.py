"""Milvus's rules for role names."""

import string
from typing import Final

from vecguard.proxy.accounts.errors import InvalidAccountError

ADMIN: Final = "admin"
PUBLIC: Final = "public"

_MAX_BYTES = 255
_FIRST = frozenset(string.ascii_letters + "_")
_OTHERS = _FIRST | frozenset(string.digits + "$")


def check_role_name(name: str) -> None:
    """Raises InvalidAccountError with Milvus's text if no role can have the name."""
    if not name:
        raise InvalidAccountError(
            "role name should be not empty: invalid parameter[expected=not empty][actual=]"
        )
    length = len(name.encode())
    if length > _MAX_BYTES:
        raise InvalidAccountError(
            "the length of role name must be not greater than limit: invalid parameter"
            f"[{length} out of range 0 <= value <= {_MAX_BYTES}]"
        )
    if name[0] not in _FIRST:
        raise InvalidAccountError(
            "the first character of role name must be an underscore or letter: invalid parameter"
            f"[expected={ord('_')}][actual={name.encode()[0]}]"
        )
    for position, character in enumerate(name):
        if character not in _OTHERS:
            raise InvalidAccountError(
                "role name can only contain numbers, letters, underscores, and allowed characters "
                f"($), found {character} at {position}: invalid parameter"
            )
