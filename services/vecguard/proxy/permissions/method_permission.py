"""Authorizes calls of methods that need a role by the configuration (`proxy.methodRoles`)."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from vecguard.clock import Clock
from vecguard.errors import OverloadedError
from vecguard.proxy.audit.event_aggregation import RefusedCall
from vecguard.proxy.authentication.credentials import CredentialCache
from vecguard.proxy.authentication.trust import Trust
from vecguard.proxy.authorization.errors import RoleNeededError
from vecguard.proxy.authorization.method_roles import MethodRoles, Spellings, key_of, need_of
from vecguard.proxy.authorization.methods import Treatment
from vecguard.proxy.relay.calls.permission import Permission
from vecguard.proxy.relay.reception import Client
from vecguard.proxy.relay.upstreams.routing import Routes

# How many times the roles are read again because the user has changed meanwhile.
_MAX_ROUNDS: Final = 5


class ConfiguredMethods:
    """Finds what the configuration demands for a method."""

    def __init__(self, entries: Mapping[str, Sequence[str]]) -> None:
        """Takes `proxy.methodRoles`."""
        self._spellings = Spellings(entries)
        self._needs: Routes[MethodRoles | Treatment] = Routes(
            table={key_of(pattern): need_of(pattern, roles) for pattern, roles in entries.items()},
            default=Treatment.LOGIN,
        )

    def need_of(self, path: bytes) -> MethodRoles | Treatment:
        """Returns what a call of this path needs; the same for the same path.

        A path that names a service with an entry in an unusual way is for admins.
        """
        key = self._spellings.key(path)
        if key is None:
            is_disguised = self._spellings.is_disguised(path)
            return Treatment.ADMIN if is_disguised else Treatment.LOGIN
        return self._needs.find(key)


class RoleNames:
    """Reads the names of users' roles, without their grants."""

    def __init__(self, credentials: CredentialCache, trust: Trust, clock: Clock) -> None:
        """Takes the users' records, and what says whether memory may decide, by `clock`."""
        self._credentials = credentials
        self._trust = trust
        self._clock = clock

    def now(self, username: str) -> tuple[str, ...] | None:
        """Returns the roles of a user if memory may decide, and has them; else None."""
        held = self._credentials.held_of(username)
        if held is None or not self._trust.is_valid(self._clock()):
            return None
        return held.credential.roles

    async def after_wait(self, username: str) -> tuple[str, ...]:
        """Returns the roles of a user after reading them, under a valid trust.

        Raises:
            UnavailableError: nothing can be decided now, for the reason in its text.
            DeadlineError: root coord does not answer.
            OverloadedError: the user keeps changing.
        """
        for _ in range(_MAX_ROUNDS):
            await self._trust.require()
            await self.newest(username)
            roles = self.now(username)
            if roles is not None:
                return roles
        raise OverloadedError("the roles of the user keep changing, try again later")

    async def newest(self, username: str) -> tuple[str, ...]:
        """Returns the roles of a user as read last, whether or not memory may decide.

        Raises UnavailableError or DeadlineError.
        """
        return (await self._credentials.get(username)).roles


class Decisions(Protocol):
    """Takes what was decided."""

    def note_allowed(self) -> None:
        """Counts a call that was allowed."""
        ...

    def note_refused(self, call: RefusedCall) -> None:
        """Counts a refusal, and records it in the audit log."""
        ...


class MethodPermission(Permission):
    """Decides about one call of one user by the names of the user's roles."""

    # Without those of `Permission`: where that is compiled, they would hide its attributes.
    __slots__ = ("_client", "_decisions", "_need", "_path", "_roles", "_username")

    def __init__(
        self,
        decisions: Decisions,
        roles: RoleNames,
        username: str,
        need: MethodRoles,
        path: bytes,
        *,
        client: Client,
    ) -> None:
        """Takes the caller, and what the method of this path needs."""
        self.is_given = False
        self.reads_request = False
        self._decisions = decisions
        self._roles = roles
        self._username = username
        self._need = need
        self._path = path.decode("ascii")
        self._client = client

    def read(self, payload: bytes | bytearray | memoryview) -> None:
        """Does nothing: the request does not matter."""

    def passes_part(self) -> None:
        """Does nothing: the request does not matter."""

    def decide(self) -> None:
        """Decides from memory; leaves `is_given` False if the roles must be read first.

        Raises RoleNeededError.
        """
        roles = self._roles.now(self._username)
        if roles is not None:
            self._judge(roles)

    async def wait(self) -> None:
        """Decides after reading the roles. Raises RoleNeededError, or why they cannot be read."""
        self._judge(await self._roles.after_wait(self._username))

    async def judge_again(self) -> None:
        """Decides again about an open call, because roles have changed.

        Raises:
            RoleNeededError: the user has none of the roles any more.
            UnavailableError: the newest roles cannot be read.
            DeadlineError: root coord does not answer.
        """
        self._judge(await self._roles.newest(self._username))

    def _judge(self, roles: tuple[str, ...]) -> None:
        """Gives the permission. Raises RoleNeededError if there is none."""
        try:
            self._need.require(self._path, self._username, roles)
        except RoleNeededError as error:
            self._decisions.note_refused(
                RefusedCall(
                    self._username, self._client.host(), self._path, error.roles, None, None
                )
            )
            raise
        if not self.is_given:
            self.is_given = True
            self._decisions.note_allowed()
