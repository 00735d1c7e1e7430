"""Finds the active root coord, keeps a session with it, and sends it reads and changes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from random import random

import betterproto
from grpclib.exceptions import GRPCError

from vecguard.addresses import Address
from vecguard.backoff import Backoff, BackoffPolicy
from vecguard.clock import Clock
from vecguard.concurrency.cancellation import raise_if_cancelled
from vecguard.concurrency.own_task import in_own_task
from vecguard.errors import (
    OUTCOME_UNKNOWN,
    DeadlineError,
    OutcomeUnknownError,
    Status,
    UnavailableError,
    VecguardError,
)
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.channel import Channel, translated_errors
from vecguard.grpc.credentials import hash_from_wire, hash_to_wire
from vecguard.observability.log import get_logger
from vecguard.observability.repeated import RepeatedFailure
from vecguard.passwords import PasswordHash
from vecguard.proxy.accounts.errors import OutdatedRootCoordError
from vecguard.proxy.authentication.credentials import Credential
from vecguard.proxy.principal import ANONYMOUS, Principal
from vecguard.proxy.revocation.lease import Lease
from vecguard.proxy.revocation.revocations import Revocations
from vecguard.proxy.root_coord.session import Identity, Session

log = get_logger(__name__)

#: How long a read may take.
READ_TIMEOUT_SECONDS = 10.0
_PAUSES = BackoffPolicy(first_seconds=0.05, longest_seconds=0.5, factor=2.0, jitter=(0.5, 1.5))

#: Called after each read and change with the method, the outcome ("ok", "cancelled" or the
#: error's reason), and the seconds that it took.
Observe = Callable[[str, str, float], None]


@dataclass(frozen=True, slots=True)
class Connection:
    """The connection of a session.

    Attributes:
        is_outdated: whether root coord is too old to check actors, or to know roles.
    """

    channel: Channel
    address: Address
    term: int
    is_outdated: bool


class RootCoordClient:
    """Keeps one session with the active root coord and sends every request to it.

    `vecguard.proxy.root_coord.roles` adds what concerns roles.

    Attributes:
        sessions_opened: how many sessions this process has opened.
        mutation_timeout_seconds: how long a change may take.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        connect: Callable[[Address], Channel],
        *,
        identity: Identity,
        lease: Lease,
        clock: Clock,
        renewed: Callable[[], None],
        mutation_timeout_seconds: float,
        observe: Observe,
    ) -> None:
        """Takes the parts; nothing is connected before `run`.

        `renewed` is called after each renewal of the lease.
        """
        self._addresses = addresses
        self._connect = connect
        self._identity = identity
        self._lease = lease
        self._clock = clock
        self._renewed = renewed
        self.mutation_timeout_seconds = mutation_timeout_seconds
        self._observe = observe
        self._connection: Connection | None = None
        self._newest_term = 0
        self._last_error = "no attempt yet"
        self.sessions_opened = 0

    @property
    def address(self) -> Address | None:
        """The address of the root coord that holds the session; None without a session."""
        return self._connection.address if self._connection else None

    @property
    def is_outdated(self) -> bool:
        """Whether the root coord of the session is too old to make changes, or to know roles."""
        return self._connection is not None and self._connection.is_outdated

    @property
    def proxy_id(self) -> str:
        """The random name by which root coord knows this process; each start has a new one."""
        return self._identity.proxy_id

    @property
    def last_error(self) -> str:
        """Why the last session ended or could not be opened."""
        return self._last_error

    async def run(self, revocations: Revocations) -> None:
        """Opens a session, and a new one whenever it breaks, until cancelled.

        Tries every address in turn, because only one root coord is active. The pause between
        two rounds grows while no session could be opened.
        """
        pauses = Backoff(_PAUSES, random)
        failures = {
            address: RepeatedFailure(log, "session_failed", level="info")
            for address in self._addresses
        }
        while True:
            opened_before = self.sessions_opened
            for address in self._addresses:
                try:
                    await in_own_task(self._hold_session(address, revocations), None)
                except* (VecguardError, OSError) as group:
                    self._last_error = _first_message(group)
                    failures[address].failed(
                        self._last_error, address=str(address), error=self._last_error
                    )
                raise_if_cancelled()
            if self.sessions_opened > opened_before:
                pauses.succeeded()
            await asyncio.sleep(pauses.failed())

    async def fetch(self, username: str) -> Credential:
        """Returns the newest record of a user. Raises UnavailableError or DeadlineError."""
        async with self.asking("GetCredential") as (connection, root_coord):
            reply = await in_own_task(
                root_coord.get_credential(pb.GetCredentialRequest(username=username)),
                READ_TIMEOUT_SECONDS,
            )
        self.require_current(connection, reply.term)
        message = reply.credential.password
        # Decoded also for an unknown user, so that both take equally long.
        password = hash_from_wire(message) if betterproto.serialized_on_wire(message) else None
        return Credential(
            username=username,
            password=password if reply.credential.username else None,
            revision=reply.credential.revision,
            read_revision=reply.read_revision,
            roles=tuple(reply.credential.roles),
        )

    async def list_users(self) -> list[pb.Credential]:
        """Returns all users, without hashes. Raises UnavailableError or DeadlineError."""
        async with self.asking("ListUsers") as (_, root_coord):
            reply = await in_own_task(
                root_coord.list_users(pb.ListUsersRequest()), READ_TIMEOUT_SECONDS
            )
        return reply.users

    async def create(
        self,
        username: str,
        password: PasswordHash,
        description: str,
        *,
        asked_by: Principal,
    ) -> pb.MutationReply:
        """Adds a user; returns when every proxy has applied the change.

        Root coord makes the change only if the record of `asked_by` is still at its revision,
        or `asked_by` is anonymous.

        Raises:
            OutcomeUnknownError: the change was sent, and its answer did not come.
            OutdatedRootCoordError: root coord is older than this proxy.
            UnavailableError: root coord cannot be reached; nothing was sent.
        """
        async with self.changing("CreateCredential") as root_coord:
            return await in_own_task(
                root_coord.create_credential(
                    pb.CreateCredentialRequest(
                        username=username,
                        password=hash_to_wire(password),
                        description=description,
                        actor=actor_of(asked_by),
                    )
                ),
                self.mutation_timeout_seconds,
            )

    async def update(
        self,
        username: str,
        *,
        expected_revision: int | None,
        password: PasswordHash | None,
        description: str | None,
        asked_by: Principal,
    ) -> pb.MutationReply:
        """Changes what is not None. `asked_by`, the return and the errors are as in `create`."""
        request = pb.UpdateCredentialRequest(
            username=username,
            expected_revision=expected_revision or 0,
            description=description,
            actor=actor_of(asked_by),
        )
        if password is not None:
            request.password = hash_to_wire(password)
        async with self.changing("UpdateCredential") as root_coord:
            return await in_own_task(
                root_coord.update_credential(request), self.mutation_timeout_seconds
            )

    async def delete(self, username: str, *, asked_by: Principal) -> pb.MutationReply:
        """Removes a user. `asked_by`, the return and the errors are as in `create`."""
        async with self.changing("DeleteCredential") as root_coord:
            return await in_own_task(
                root_coord.delete_credential(
                    pb.DeleteCredentialRequest(username=username, actor=actor_of(asked_by))
                ),
                self.mutation_timeout_seconds,
            )

    async def rehash(self, username: str, revision: int, password: PasswordHash) -> int | None:
        """Replaces the stored hash by another hash of the same password.

        Returns the new revision, or None if the credential is no longer at `revision`.
        """
        async with self.asking("RehashCredential") as (_, root_coord):
            reply = await in_own_task(
                root_coord.rehash_credential(
                    pb.RehashCredentialRequest(
                        username=username,
                        expected_revision=revision,
                        password=hash_to_wire(password),
                    )
                ),
                READ_TIMEOUT_SECONDS,
            )
        return reply.revision if reply.outcome is pb.MutationOutcome.APPLIED else None

    async def _hold_session(self, address: Address, revocations: Revocations) -> None:
        channel = self._connect(address)

        def opened(message: pb.Opened) -> None:
            term = message.term
            self._refuse_deposed(term)
            is_outdated = not (message.judges_actors and message.serves_roles)
            self._connection = Connection(channel, address, term, is_outdated)
            self.sessions_opened += 1
            log.info(
                "session_opened",
                proxy=self._identity.proxy_id,
                address=str(address),
                term=term,
                version=message.version,
            )
            if is_outdated:
                error = OutdatedRootCoordError(str(address))
                log.warning(
                    "root_coord_outdated",
                    address=str(address),
                    version=message.version,
                    error=error.message,
                )

        try:
            session = Session(
                channel,
                self._identity,
                self._lease,
                revocations,
                self._clock,
                renewed=self._renewed,
            )
            await session.run(f"root coord at {address}", opened)
        finally:
            self._connection = None
            channel.close()

    def _refuse_deposed(self, term: int) -> None:
        """Raises UnavailableError for a root coord whose term is over and that does not know it.

        Under a lease of its successor this proxy would trust its reads, which may be outdated.
        Without a lease a lower term is accepted: etcd may have been restored from a backup.
        """
        if term < self._newest_term and self._lease.is_valid(self._clock()):
            raise UnavailableError(f"it serves term {term}, and term {self._newest_term} has begun")
        self._newest_term = term

    def require_current(self, connection: Connection, term: int) -> None:
        """Raises UnavailableError if the session has ended under which a read was made.

        A result counts only under the session that asked for it: this proxy misses the
        invalidations between two sessions, and the comparison of revisions that opens the next
        session does not see reads that are still in flight.
        """
        if self._connection is not connection or term != connection.term:
            raise UnavailableError(
                f"the session with root coord at {connection.address} ended during a read, "
                "try again"
            )

    @asynccontextmanager
    async def asking(self, method: str) -> AsyncIterator[tuple[Connection, pb.RootCoordStub]]:
        """Yields the connection for one read, and observes its outcome and duration.

        Raises:
            UnavailableError: root coord cannot be reached.
            DeadlineError: it did not answer in time.
        """
        with self._observed(method):
            connection = self._connection
            if connection is None:
                tried = ", ".join(map(str, self._addresses))
                raise UnavailableError(
                    f"root coord cannot be reached at {tried} ({self._last_error}); try again"
                )
            with translated_errors(f"root coord at {connection.address}"):
                yield connection, pb.RootCoordStub(connection.channel)

    @contextmanager
    def _observed(self, method: str) -> Iterator[None]:
        began = self._clock()
        outcome = "cancelled"
        try:
            yield
            outcome = "ok"
        except VecguardError as error:
            outcome = error.reason
            raise
        finally:
            self._observe(method, outcome, self._clock() - began)

    @asynccontextmanager
    async def changing(self, method: str) -> AsyncIterator[pb.RootCoordStub]:
        """Yields the connection for one change; see `create` for what it raises."""
        sent = False
        try:
            async with self.asking(method) as (connection, root_coord):
                if connection.is_outdated:
                    raise OutdatedRootCoordError(str(connection.address))
                sent = True
                yield root_coord
        except VecguardError as error:
            if not sent or not _leaves_open(error):
                raise
            raise OutcomeUnknownError(
                f"{error.message}; the outcome of the change is unknown, it is safe to repeat it"
            ) from error


def actor_of(principal: Principal) -> pb.Actor:
    """Returns the user who requests a change, as a message to root coord."""
    # Not `is_anonymous`: root coord refuses a user without a name.
    if principal == ANONYMOUS:
        return pb.Actor(anonymous=True)
    role, policy_revision = principal.authority or ("", 0)
    return pb.Actor(
        username=principal.username,
        revision=principal.revision,
        role=role,
        policy_revision=policy_revision,
    )


def _leaves_open(error: VecguardError) -> bool:
    """Returns whether a change that was sent may have been made in spite of this error."""
    if isinstance(error.__cause__, GRPCError):
        # Root coord itself has answered, so it knows the outcome. INTERNAL is a bug, which may have
        # come after the write.
        return Status(error.__cause__.status.value) in {
            OUTCOME_UNKNOWN,
            Status.DEADLINE_EXCEEDED,
            Status.INTERNAL,
        }
    return isinstance(error, UnavailableError | DeadlineError)


def _first_message(group: BaseExceptionGroup[BaseException]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__
