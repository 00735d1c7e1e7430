"""Defines `Principal`: the user who makes a call."""

from typing import Final, NamedTuple


class Authority(NamedTuple):
    """The role by which a call was allowed.

    Attributes:
        role: its name.
        policy_revision: the store's revision at which its grants were read; 0 if they did not
            decide: the role `admin` allows everything.
    """

    role: str
    policy_revision: int


class Principal:
    """A user, as proved by one revision of the user's record.

    Everything between the cache and root coord that needs the caller gets this: the relay for
    revocations and identity headers, the account service for permissions.

    Attributes:
        username: empty for `ANONYMOUS`.
        revision: the revision of the record that proved the user; 0 for `ANONYMOUS`.
        authority: by which role the user may make the call; None where the call needs no role, or
            has not been decided yet.
    """

    __slots__ = ("authority", "revision", "username")

    def __init__(self, username: str, revision: int, authority: Authority | None = None) -> None:
        self.username = username
        self.revision = revision
        self.authority = authority

    @property
    def is_anonymous(self) -> bool:
        """Whether there is no user, because authorization is switched off."""
        return not self.username

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Principal)
            and self.username == other.username
            and self.revision == other.revision
        )

    def __hash__(self) -> int:
        return hash((self.username, self.revision))

    def __repr__(self) -> str:
        return f"Principal({self.username!r}, {self.revision})"


#: The caller of every call where authorization is switched off.
ANONYMOUS: Final = Principal("", 0)
