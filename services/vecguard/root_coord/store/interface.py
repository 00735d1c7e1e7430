"""Defines the interface of the store of credentials. `etcd.py` implements it."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from vecguard.etcd.reads import Snapshot
from vecguard.passwords import PasswordHash
from vecguard.root_record import RootState


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """A user's record in the store.

    Attributes:
        password: None when the record cannot be read, so that no password matches.
        revision: the store's revision at which the record was last changed.
        roles: in alphabetical order, without `public`, which every user has.
    """

    username: str
    password: PasswordHash | None
    revision: int
    description: str = ""
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Actor:
    """The user who requests a change.

    Attributes:
        revision: the revision of the record by which a proxy admitted the request.
        role: the role by which it did so; empty if it needed none.
        policy_revision: the store's revision at which it read the grants of the role; 0 if they
            did not decide.
    """

    username: str
    revision: int
    role: str = ""
    policy_revision: int = 0


class Outcome(Enum):
    """How a guarded change ended. Only APPLIED changed the store.

    `MutationOutcome` in protos/vecguard/internal/v1 says what each means.
    """

    APPLIED = auto()
    USER_EXISTS = auto()
    USER_NOT_FOUND = auto()
    USER_LIMIT_REACHED = auto()
    REVISION_CHANGED = auto()
    ACTOR_REVOKED = auto()
    ROLE_EXISTS = auto()
    ROLE_NOT_FOUND = auto()
    ROLE_LIMIT_REACHED = auto()
    ROLE_HAS_GRANTS = auto()
    ROLE_IS_BUILT_IN = auto()
    GRANTOR_NOT_FOUND = auto()
    GROUP_EXISTS = auto()
    GROUP_NAME_TAKEN = auto()
    GROUP_NOT_FOUND = auto()
    GROUP_IN_USE = auto()
    PRIVILEGE_NOT_FOUND = auto()
    LEVELS_DIFFER = auto()
    INVALID = auto()
    COLLECTION_CHANGING = auto()
    ACTOR_RIGHTS_CHANGED = auto()


@dataclass(frozen=True, slots=True)
class Mutation:
    """The outcome of a change.

    Attributes:
        revision: the store's revision of an applied change; where the store was as wanted
            before, a revision at which it was so; otherwise 0.
        detail: what the outcome is about, such as the name of a missing privilege.
        users: other users whose records or roles the change has touched.
    """

    outcome: Outcome
    revision: int = 0
    detail: str = ""
    users: tuple[str, ...] = ()

    @property
    def applied(self) -> bool:
        """Whether the store was changed."""
        return self.outcome is Outcome.APPLIED


class CredentialStore(Protocol):
    """Offers linearizable reads and guarded changes.

    Each method raises UnavailableError when the store cannot be reached; a change raises
    OutcomeUnknownError when it may or may not have been applied. Repeating a change with
    the same hash is safe: it reports the success of the first attempt. The exception is a user's
    change of its own password: its repetition ends with ACTOR_REVOKED, because the password by
    which it was admitted is not valid any more.

    A change with an `actor` is applied only if, at the moment of the change, the actor exists and
    has the password by which it was admitted; otherwise the outcome is ACTOR_REVOKED. If the actor
    was admitted by a role, it must also have the role, and the role the grants that it had then;
    otherwise the outcome is ACTOR_RIGHTS_CHANGED. An actor of None is the system itself, or a proxy
    without authorization.
    """

    async def get(self, username: str) -> Snapshot[StoredCredential | None]: ...

    async def list_all(self) -> Snapshot[tuple[StoredCredential, ...]]:
        """Returns all users in alphabetical order."""
        ...

    async def root_state(self) -> RootState:
        """Returns whether root exists, was lost, or never existed."""
        ...

    async def create_first_root(self, password: PasswordHash) -> bool:
        """Creates root in a new store and records that the store had root.

        Returns whether it did.
        """
        ...

    async def note_root(self) -> None:
        """Records that the store had root, if root exists."""
        ...

    async def create(
        self,
        username: str,
        password: PasswordHash,
        description: str,
        *,
        user_limit: int,
        actor: Actor | None = None,
    ) -> Mutation:
        """Adds a user unless the name is taken or `user_limit` users exist.

        Roles that are still bound to the name are taken away.
        """
        ...

    async def update(
        self,
        username: str,
        *,
        expected_revision: int | None,
        password: PasswordHash | None,
        description: str | None,
        actor: Actor | None = None,
    ) -> Mutation:
        """Changes the values that are not None, if the record has `expected_revision`.

        An `expected_revision` of None permits any revision.
        """
        ...

    async def rehash(
        self, username: str, expected_revision: int, password: PasswordHash
    ) -> Mutation:
        """Replaces a hash by another hash of the same password, at this revision only."""
        ...

    async def delete(self, username: str, *, actor: Actor | None = None) -> Mutation:
        """Removes a user and the roles that are bound to the name."""
        ...
