"""What root coord needs of a store. The etcd adapter stands beside this file."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, Protocol, TypeVar

from vecguard.passwords import PasswordHash
from vecguard.root_record import RootState

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """One user as the store has it.

    Attributes:
        password: None when the record cannot be read, so that no password matches.
        revision: the store's revision at which the record was last changed.
    """

    username: str
    password: PasswordHash | None
    revision: int
    description: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[T]):
    """A value as it was at one revision of the store."""

    revision: int
    value: T


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks for a change.

    Attributes:
        revision: of the record by which a proxy admitted the request.
    """

    username: str
    revision: int


class Outcome(Enum):
    """How a guarded change ended. Only APPLIED changed anything."""

    APPLIED = auto()
    USER_EXISTS = auto()
    USER_NOT_FOUND = auto()
    USER_LIMIT_REACHED = auto()
    REVISION_CHANGED = auto()
    ACTOR_REVOKED = auto()


@dataclass(frozen=True, slots=True)
class Mutation:
    """A change's outcome.

    Attributes:
        revision: the store's revision of the change when it was applied; of a user that
            was not there to be deleted, one at which it was not there; otherwise 0.
    """

    outcome: Outcome
    revision: int = 0

    @property
    def applied(self) -> bool:
        """Whether the store was changed."""
        return self.outcome is Outcome.APPLIED


class CredentialStore(Protocol):
    """Linearizable reads and guarded changes.

    Each method raises UnavailableError when the store cannot be reached; a change raises
    OutcomeUnknownError when it may or may not have been applied. Repeating a change with
    the same hash is safe: it reports the first one's success, but for a user's change of its own
    password, which is repeated in vain (ACTOR_REVOKED): the password by which it was admitted
    does not stand any more.

    A change with an `actor` is applied only if the actor exists and has the password by which it
    was admitted, at the moment of the change itself; otherwise the outcome is ACTOR_REVOKED. None
    is the system itself, or a proxy without authorization.
    """

    async def get(self, username: str) -> Snapshot[StoredCredential | None]: ...

    async def list_all(self) -> Snapshot[tuple[StoredCredential, ...]]:
        """All users in alphabetical order."""
        ...

    async def root_state(self) -> RootState:
        """Whether root is there, was lost, or never was."""
        ...

    async def create_first_root(self, password: PasswordHash) -> bool:
        """Creates root if the store is a new one, and notes that it had root; says whether."""
        ...

    async def note_root(self) -> None:
        """Notes that the store had root, if it has it."""
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
        """Adds a user unless the name is taken or `user_limit` users exist."""
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
        """Changes what is not None, if the record still has `expected_revision` (None: any)."""
        ...

    async def rehash(
        self, username: str, expected_revision: int, password: PasswordHash
    ) -> Mutation:
        """Replaces a hash by another one of the same password, at this revision only."""
        ...

    async def delete(self, username: str, *, actor: Actor | None = None) -> Mutation:
        """Removes a user with all that is bound to the name."""
        ...
