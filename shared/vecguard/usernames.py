"""Checks user names by Milvus's rules."""

import string
from dataclasses import dataclass
from typing import Final

from vecguard.errors import InvalidParameterError

#: The administrator, who exists from the start and cannot be deleted.
ROOT: Final = "root"
EMPTY_USERNAME: Final = "username must be not empty: invalid parameter"

_LETTERS = frozenset(string.ascii_letters)
_BASIC = frozenset(string.ascii_letters + string.digits + "_")
_STORABLE = frozenset(string.ascii_letters + string.digits + string.punctuation) - {"/", ":"}
_STORABLE_MAX_LENGTH = 255
# Milvus's texts put a comma before "and" in the longer of their two lists only.
_SHORT_LIST = 3


@dataclass(frozen=True, slots=True)
class UsernamePolicy:
    """The rules for the names of new users.

    The first character is an ASCII letter; the rest are letters, digits, `_` and
    `extra_characters` (Milvus allows `.` and `-` since 2.6).
    """

    max_length: int = 32
    extra_characters: str = ""

    def normalise(self, username: str) -> str:
        """Returns the name without surrounding white space.

        Raises:
            InvalidParameterError: the name breaks a rule; the text is Milvus's.
        """
        name = username.strip()
        if not name:
            raise InvalidParameterError(EMPTY_USERNAME)
        if len(name) > self.max_length:
            raise InvalidParameterError(
                f"invalid username {name} with length {len(name)}, "
                f"the length of username must be less than {self.max_length}: invalid parameter"
            )
        if name[0] not in _LETTERS:
            raise InvalidParameterError(
                f"invalid user name {name}, the first character must be a letter, "
                f"but got {name[0]}: invalid parameter"
            )
        allowed = _BASIC | set(self.extra_characters)
        for character in name[1:]:
            if character not in allowed:
                raise InvalidParameterError(
                    f"invalid user name {name}, username must contain only {self._alphabet()}, "
                    f"but got {character}: invalid parameter"
                )
        return name

    def _alphabet(self) -> str:
        kinds = ["numbers", "letters", "underscores"]
        kinds += [
            kind
            for character, kind in ((".", "dots"), ("-", "hyphens"))
            if character in self.extra_characters
        ]
        comma = "," if len(kinds) > _SHORT_LIST else ""
        return f"{', '.join(kinds[:-1])}{comma} and {kinds[-1]}"


def is_storable(username: str) -> bool:
    """Returns whether a store may hold this name, under whatever policy it was created.

    Logins are checked by this and not by the policy: an existing Milvus may have had a more
    permissive policy. The characters are safe in a metadata value and in an etcd key.
    """
    return 0 < len(username) <= _STORABLE_MAX_LENGTH and _STORABLE.issuperset(username)
