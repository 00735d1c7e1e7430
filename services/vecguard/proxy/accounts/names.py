"""Milvus's rules for the names of roles, objects, databases and privilege groups."""

import string
from dataclasses import dataclass
from typing import Final

from vecguard.privileges.stored_names import ANY
from vecguard.proxy.accounts.errors import InvalidAccountError
from vecguard.proxy.accounts.role_errors import DatabaseNameError, GroupNameError

_MAX_BYTES: Final = 255
_FIRST: Final = frozenset(string.ascii_letters + "_")
_OTHERS: Final = _FIRST | frozenset(string.digits)


@dataclass(frozen=True, slots=True)
class NameRules:
    """The rules for names.

    Attributes:
        allowed_chars: what the name of a role or an object may have after the first character,
            in addition to letters, digits and underscores (`proxy.roleNameValidation`).
    """

    allowed_chars: str = "$"

    def check_role(self, name: str) -> None:
        """Raises InvalidAccountError with Milvus's text if no role can have the name."""
        self.check(name, "role name")

    def check_object(self, name: str, kind: str) -> None:
        """Does `check` for an object, which may also be `*`."""
        if name != ANY:
            self.check(name, kind)

    def check(self, name: str, kind: str) -> None:
        """Raises InvalidAccountError with Milvus's text; `kind` says what the name is of."""
        if not name:
            raise InvalidAccountError(
                f"{kind} should be not empty: invalid parameter[expected=not empty][actual=]"
            )
        length = len(name.encode())
        if length > _MAX_BYTES:
            raise InvalidAccountError(
                f"the length of {kind} must be not greater than limit: invalid parameter"
                f"[{length} out of range 0 <= value <= {_MAX_BYTES}]"
            )
        if name[0] not in _FIRST:
            raise InvalidAccountError(
                f"the first character of {kind} must be an underscore or letter: invalid parameter"
                f"[expected={ord('_')}][actual={name.encode()[0]}]"
            )
        # A slash would end the name in a key of the store.
        allowed = _OTHERS.union(self.allowed_chars) - {"/"}
        for position, character in enumerate(name):
            if character not in allowed:
                raise InvalidAccountError(
                    f"{kind} can only contain numbers, letters, underscores, and allowed "
                    f"characters ({self.allowed_chars}), found {character} at {position}: "
                    "invalid parameter"
                )


def check_group_name(name: str) -> None:
    """Raises GroupNameError or InvalidAccountError if no privilege group can have the name."""
    if not name:
        raise GroupNameError("privilege group name should not be empty")
    if len(name.encode()) > _MAX_BYTES:
        raise GroupNameError(
            f"the length of a privilege group name {name} must be less than {_MAX_BYTES} characters"
        )
    if name[0] not in _FIRST:
        raise GroupNameError(
            f"the first character of a privilege group name {name} must be an underscore or letter"
        )
    if not _OTHERS.issuperset(name):
        raise InvalidAccountError(
            f"privilege group name {name} can only contain numbers, letters and underscores: "
            "invalid parameter"
        )


def check_database(name: str) -> None:
    """Raises DatabaseNameError if no database can have the name; `*` means all of them."""
    if name == ANY:
        return
    if len(name.encode()) > _MAX_BYTES:
        raise DatabaseNameError(
            name, f"the length of a database name must be less than {_MAX_BYTES} characters"
        )
    if name[0] not in _FIRST:
        raise DatabaseNameError(
            name, "the first character of a database name must be an underscore or letter"
        )
    if not _OTHERS.issuperset(name):
        raise DatabaseNameError(
            name, "database name can only contain numbers, letters and underscores"
        )
