"""Authorizes the calls of the public port: joins the relay to the users' roles."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from vecguard.clock import Clock
from vecguard.errors import OverloadedError
from vecguard.proxy.accounts.methods import SERVED
from vecguard.proxy.audit.audit_log import Audit, NoAudit
from vecguard.proxy.audit.event_aggregation import RefusedCall
from vecguard.proxy.authentication.credentials import CredentialCache
from vecguard.proxy.authentication.trust import Trust
from vecguard.proxy.authorization.decision import (
    database_of_header,
)
from vecguard.proxy.authorization.errors import (
    PermissionDeniedError,
)
from vecguard.proxy.authorization.method_roles import MethodRoles
from vecguard.proxy.authorization.methods import (
    ALIAS_CHANGES,
    Need,
    Treatment,
    method_of,
    treatment,
)
from vecguard.proxy.authorization.policy import Rights
from vecguard.proxy.authorization.request_fields import (
    RequestScanner,
)
from vecguard.proxy.backend.aliases import Aliases
from vecguard.proxy.permissions.given_permissions import AliasChange, FilteredList, WholeList
from vecguard.proxy.permissions.method_permission import (
    ConfiguredMethods,
    MethodPermission,
    RoleNames,
)
from vecguard.proxy.permissions.precedent import Precedent, Standing
from vecguard.proxy.permissions.role_cache import RoleCache
from vecguard.proxy.permissions.role_permission import RolePermission
from vecguard.proxy.principal import Principal
from vecguard.proxy.relay.calls.headers import RequestHead
from vecguard.proxy.relay.calls.permission import Permission
from vecguard.proxy.relay.reception import Arriving, Authorizer, Client
from vecguard.usernames import ROOT

# How many times a decision is retried because the roles have changed meanwhile.
_MAX_ROUNDS: Final = 5
# Methods whose treatment is kept. Bounded, because clients choose paths.
_MAX_METHODS: Final = 1024
_MAX_PATH_BYTES: Final = 200
_ENCODING: Final = b"grpc-encoding"
_LOGIN: Final = Treatment.LOGIN
_LISTED: Final = Treatment.LISTED


class RoleAuthorizer(Authorizer):
    """Lets a user call what one of the user's roles allows, by Milvus's rule.

    `root` may call everything, and so may every caller where authorization is switched off.
    Methods of other services than Milvus's need a role if the configuration names one.

    Attributes:
        allowed: how many calls were allowed that needed a role.
        refused: how many calls were refused, also open ones after a change of roles.
        enforced: whether methods other than those of accounts and roles need a role.
        root_is_bound: whether `root` has only the rights of its roles.
        max_request_bytes: the maximum size of a request's message in bytes, also when inflated.
    """

    def __init__(
        self,
        credentials: CredentialCache,
        roles: RoleCache,
        trust: Trust,
        clock: Clock,
        *,
        root_is_bound: bool,
        enforced: bool,
        strict: bool,
        max_request_bytes: int,
        method_roles: Mapping[str, Sequence[str]] = MappingProxyType({}),
        audit: Audit | None = None,
        judge_again: Callable[[str], None] | None = None,
        aliases: Aliases | None = None,
    ) -> None:
        """Takes the parts.

        Args:
            credentials: the users' records, with the names of their roles.
            roles: the grants of roles.
            trust: says whether memory may decide.
            clock: the clock of all of these.
            root_is_bound: whether `root` has only the rights of its roles.
            enforced: whether methods other than those of accounts and roles need a role.
            strict: whether methods for which Milvus defines no privilege may need the role admin.
            max_request_bytes: the maximum size of a compressed message in bytes, when inflated.
            method_roles: `proxy.methodRoles`: the roles that may call methods of other services.
            audit: records the refused calls.
            judge_again: has the open calls of a user judged again.
            aliases: knows which collections aliases refer to; None: every name is a collection.
        """
        self._credentials = credentials
        self._roles = roles
        self._trust = trust
        self._clock = clock
        self.root_is_bound = root_is_bound
        self.enforced = enforced
        self._strict = strict
        self.max_request_bytes = max_request_bytes
        self.aliases = aliases
        self._audit = audit or NoAudit()
        self._judge_again = judge_again
        self.allowed = self.refused = 0
        self._configured = ConfiguredMethods(method_roles)
        self._role_names = RoleNames(credentials, trust, clock)
        self._treatments: dict[bytes, Need | Treatment | MethodRoles] = {}

    def permission(
        self, principal: Principal, head: RequestHead, client: Client, call: Arriving
    ) -> Permission | None:
        """Returns the permission of a call; None if every user may make it.

        A call that repeats an earlier one of its client shares the permission of that one, unless
        the roles have changed since: see `Precedent`.

        Raises:
            PermissionDeniedError: the user may not make it, whatever its request says.
            InvalidParameterError: the header `dbname` is malformed.
        """
        need = self._treatments.get(head.path.value) or self._look_up(head.path.value)
        if need is _LOGIN:
            return None
        username = principal.username
        if not username or (username == ROOT and not self.root_is_bound):
            if self.aliases is not None and head.path.value in ALIAS_CHANGES:
                return AliasChange(self.aliases)
            return None
        kept = client.precedents
        precedent: Precedent | None = None if kept is None else kept.get(head.path.value)
        if (
            precedent is not None
            and precedent.covers(username, head.databases, call.request_in_one_piece())
            and self.is_current(precedent.standing)
        ):
            self.allowed += 1
            return precedent.permission
        return self._new_permission(username, need, head, client)

    def _new_permission(
        self,
        username: str,
        need: Need | Treatment | MethodRoles,
        head: RequestHead,
        client: Client,
    ) -> Permission:
        if need is _LISTED:
            return self._permission_of_list(username, head)
        if isinstance(need, MethodRoles):
            path = head.path.value
            return MethodPermission(self, self._role_names, username, need, path, client=client)
        permission = RolePermission(
            self, username, need if isinstance(need, Need) else None, head, client
        )
        permission.begin()
        return permission

    def _permission_of_list(self, username: str, head: RequestHead) -> Permission:
        standing = self.rights_now(username)
        if standing is not None and standing.rights.is_admin:
            return WholeList(self.newest, username)
        database_of_header(head.databases)
        return FilteredList()

    def scanner(self, need: Need, head: RequestHead) -> RequestScanner:
        """Returns a reader for the request of a call."""
        encodings = head.values(_ENCODING)
        return RequestScanner(
            need,
            encoding=b", ".join(encodings) if encodings else None,
            max_bytes=self.max_request_bytes,
        )

    def last_rights(self, username: str) -> Standing | None:
        """Returns the rights of a user as they were last; `is_current` says if they count."""
        held = self._credentials.last_held_of(username)
        if held is None:
            return None
        standing: Standing | None = held.note
        return self.rights_now(username) if standing is None else standing

    def rights_now(self, username: str) -> Standing | None:
        """Returns the rights of a user if memory may decide, and has them; else None."""
        held = self._credentials.held_of(username)
        if held is None:
            return None
        now = self._clock()
        rights = self._roles.held_of(held.credential.roles, now)
        if rights is None or not self._trust.is_valid(now):
            return None
        standing = held.note = Standing(held, rights)
        return standing

    def is_current(self, standing: Standing) -> bool:
        """Returns whether rights that were returned before are the newest, and memory decides."""
        now = self._clock()
        return standing.is_fresh(now) and self._trust.is_valid(now)

    async def rights_after_wait(self, username: str) -> tuple[Rights, tuple[str, ...]]:
        """Returns rights and roles of a user after reading what is missing, under a valid trust.

        They are those of a moment after the call of this method: see `RoleCache.get`.

        Raises:
            UnavailableError: nothing can be decided now, for the reason in its text.
            DeadlineError: root coord does not answer.
            OverloadedError: the lease keeps getting lost.
        """
        for _ in range(_MAX_ROUNDS):
            await self._trust.require()
            found = await self.newest(username)
            if self._trust.is_valid():
                return found
        raise OverloadedError("the connection to root coord keeps breaking, try again later")

    def require_newest(self, username: str, rights: Rights) -> None:
        """Judges the open calls of a user again if the rights that decided are outdated already.

        The notice of the change did not reach them: they were not decided yet.
        """
        standing = self.rights_now(username)
        if (standing is None or standing.rights is not rights) and self._judge_again is not None:
            self._judge_again(username)

    async def newest(self, username: str) -> tuple[Rights, tuple[str, ...]]:
        """Returns rights and roles of a user as read last, whether or not memory may decide.

        Raises UnavailableError or DeadlineError.
        """
        roles = (await self._credentials.get(username)).roles
        return await self._roles.get(roles), roles

    def note_refusal(self, permission: RolePermission, error: PermissionDeniedError) -> None:
        """Counts a refusal, and records it in the audit log."""
        question = permission.question
        self.note_refused(
            RefusedCall(
                permission.username,
                permission.client.host(),
                method_of(permission.path),
                error.privilege.removeprefix("Privilege"),
                None if question is None else question.names,
                error.database,
            )
        )

    def note_refused(self, call: RefusedCall) -> None:
        """Counts a refusal, and records it in the audit log."""
        self.refused += 1
        self._audit.call_refused(call)

    def note_allowed(self) -> None:
        """Counts a call that was allowed."""
        self.allowed += 1

    def is_enforced(self, path: bytes) -> bool:
        """Returns whether calls of this path may need roles here."""
        return self.enforced or path in SERVED

    def need_of(self, path: bytes) -> Need | Treatment | MethodRoles:
        """Returns what a call of this path needs where roles are enforced."""
        found = treatment(path, strict=self._strict)
        return self._configured.need_of(path) if found is _LOGIN else found

    def _look_up(self, path: bytes) -> Need | Treatment | MethodRoles:
        found = self.need_of(path) if self.is_enforced(path) else _LOGIN
        if len(self._treatments) < _MAX_METHODS and len(path) <= _MAX_PATH_BYTES:
            self._treatments[path] = found
        return found
