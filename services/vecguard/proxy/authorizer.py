"""Authorizes the calls of the public port: joins the relay to the users' roles."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NoReturn

from vecguard.clock import Clock
from vecguard.errors import OverloadedError
from vecguard.privileges.catalogue import ADMIN
from vecguard.proxy.accounts.methods import SERVED
from vecguard.proxy.audit.audit_log import Audit, NoAudit
from vecguard.proxy.audit.event_aggregation import RefusedCall
from vecguard.proxy.authentication.credentials import CredentialCache
from vecguard.proxy.authentication.trust import Trust
from vecguard.proxy.authorization.decision import (
    DEFAULT_DATABASE,
    Question,
    database_of_header,
)
from vecguard.proxy.authorization.errors import (
    AdminNeededError,
    PermissionChangedError,
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
    Outline,
    RequestScanner,
    fields_of_whole,
    is_whole,
    several_messages,
)
from vecguard.proxy.backend.aliases import Aliases
from vecguard.proxy.given_permissions import AliasChange, FilteredList, WholeList
from vecguard.proxy.identity_headers import authority_field
from vecguard.proxy.method_permission import ConfiguredMethods, MethodPermission, RoleNames
from vecguard.proxy.precedent import Precedent, Standing
from vecguard.proxy.principal import Authority, Principal
from vecguard.proxy.relay.calls.headers import RequestHead
from vecguard.proxy.relay.calls.permission import Permission
from vecguard.proxy.relay.reception import Arriving, Authorizer, Client
from vecguard.proxy.role_cache import RoleCache
from vecguard.usernames import ROOT

# How often a decision is tried again because the roles have changed meanwhile.
_MAX_ROUNDS: Final = 5
# Methods whose treatment is kept. Bounded, because clients choose paths.
_MAX_METHODS: Final = 1024
_MAX_PATH_BYTES: Final = 200
# Of so many methods a client's connection keeps a precedent, each with so much of the request.
_MAX_PRECEDENTS: Final = 4
_MAX_OUTLINE_BYTES: Final = 1024
# To keep one costs as much as a decision without it, so calls that all differ do not replace it
# each time.
_KEPT_EVERY: Final = 16
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
        max_request_bytes: the most bytes of a request's message, also when it is inflated.
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
            max_request_bytes: the most bytes of a compressed message when it is inflated.
            method_roles: `proxy.methodRoles`: the roles that may call methods of other services.
            audit: records the refused calls.
            judge_again: has the open calls of a user judged again.
            aliases: knows which collections aliases stand for; None: a name is a collection.
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
        precedent: Precedent | None = client.precedents.get(head.path.value)
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
            OverloadedError: the lease is lost again and again.
        """
        for _ in range(_MAX_ROUNDS):
            await self._trust.require()
            found = await self.newest(username)
            if self._trust.is_valid():
                return found
        raise OverloadedError("root coord is lost again and again, try again later")

    def require_newest(self, username: str, rights: Rights) -> None:
        """Has the open calls of a user judged again if rights that decided are outdated already.

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

    def note_refusal(self, permission: "RolePermission", error: PermissionDeniedError) -> None:
        """Counts a refusal, and records it in the audit log."""
        peer = permission.client.peer_name()
        question = permission.question
        self.note_refused(
            RefusedCall(
                permission.username,
                peer[0] if peer else None,
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


class RolePermission(Permission):
    """Decides about one call of one user.

    Attributes:
        username: the caller.
        client: the caller's connection.
        path: the path of the method.
        question: what was decided about; None if any request was allowed.
    """

    __slots__ = ("_authorizer", "_database", "_databases", "_head", "_need", "_rights",
                 "_scanner", "_standing", "_whole", "client", "is_given", "path", "question",
                 "reads_request", "username")  # fmt: skip

    def __init__(
        self,
        authorizer: RoleAuthorizer,
        username: str,
        need: Need | None,
        head: RequestHead,
        client: Client,
    ) -> None:
        """Takes what the method needs; None if only an admin may call it.

        Raises InvalidParameterError: see `database_of_header`.
        """
        self.username = username
        self.client = client
        self.path = head.path.value
        self.question: Question | None = None
        self.is_given = False
        self.reads_request = need is not None and need.reads_request
        self._authorizer = authorizer
        self._head: RequestHead | None = head
        self._databases = head.databases
        self._database = database_of_header(head.databases) if head.databases else DEFAULT_DATABASE
        self._need = need
        #: A request that came in one piece; the scanner reads any other.
        self._whole: bytes | None = None
        self._scanner: RequestScanner | None = None
        self._standing: Standing | None = None
        self._rights: Rights | None = None

    def begin(self) -> None:
        """Decides if that is possible before the request is read.

        Raises PermissionDeniedError.
        """
        authorizer = self._authorizer
        standing = authorizer.last_rights(self.username)
        if standing is not None and not self._depends_on_request(standing.rights):
            if not authorizer.is_current(standing):
                standing = authorizer.rights_now(self.username)
            if standing is not None and not self._depends_on_request(standing.rights):
                if self.reads_request and not standing.rights.is_admin:
                    self._give(standing.rights)
                else:
                    self._judge(standing.rights, standing.roles)
                return
        self._standing = standing

    def _depends_on_request(self, rights: Rights) -> bool:
        need = self._need
        return (
            self.reads_request
            and need is not None
            and not rights.allows_everywhere(need.object_type, need.privilege)
        )

    def read(self, payload: bytes | bytearray | memoryview) -> None:
        """Takes the next bytes of the request. Raises VecguardError if they are malformed."""
        if self._scanner is None:
            need = self._need
            if self.is_given or not self.reads_request or need is None:
                return
            if self._whole is not None:
                if payload:
                    raise several_messages()
                return
            if is_whole(payload) and len(payload) <= self._authorizer.max_request_bytes:
                self._whole = payload if isinstance(payload, bytes) else bytes(payload)
                return
            self._scanner = self._new_scanner(need)
        self._scanner.feed(payload)

    def passes_part(self) -> None:
        """Refuses a request of which only a part has come, if no request would be allowed."""
        need, standing, authorizer = self._need, self._standing, self._authorizer
        if (
            need is not None
            and standing is not None
            and _is_hopeless(need, standing.rights)
            and authorizer.is_current(standing)
        ):
            self._refuse(PermissionDeniedError(need.privilege, self.username, self._database))

    def decide(self) -> None:
        """Decides from memory; leaves `is_given` False if something must be read first.

        Raises:
            PermissionDeniedError: no role of the user allows the call.
            VecguardError: the request is malformed.
        """
        standing, authorizer = self._standing, self._authorizer
        if standing is None or not authorizer.is_current(standing):
            standing = authorizer.rights_now(self.username)
        if standing is not None:
            whole = self._whole
            self._settle(standing.rights, standing.roles)
            if whole is not None and self.is_given:
                self._keep_precedent(standing, whole)

    def _keep_precedent(self, standing: Standing, whole: bytes) -> None:
        """Lets the permission hold for calls like this one, if nothing but roles decided it."""
        need, path, precedents = self._need, self.path, self.client.precedents
        earlier: Precedent | None = precedents.get(path)
        if earlier is None:
            if len(precedents) == _MAX_PRECEDENTS or path in ALIAS_CHANGES:
                return
        elif earlier.standing is standing and self._authorizer.allowed % _KEPT_EVERY:
            return
        if need is None or self.question is None or self.question.targets:
            return
        outline = Outline(need, whole)
        if len(outline) <= _MAX_OUTLINE_BYTES:
            precedents[path] = Precedent(self, self.username, self._databases, outline, standing)

    async def wait(self) -> None:
        """Decides after reading what is missing.

        Raises what `RoleAuthorizer.rights_after_wait` raises, and PermissionDeniedError.
        """
        authorizer = self._authorizer
        rights, roles = await authorizer.rights_after_wait(self.username)
        if not self._settle(rights, roles):
            await self._look_up_aliases()
            rights, roles = await authorizer.rights_after_wait(self.username)
            self._judge(rights, roles)
        authorizer.require_newest(self.username, rights)

    def evidence(self) -> bytes:
        """Returns the field that names the role by which the call is allowed, if it needs one."""
        need, rights = self._need, self._rights
        if rights is None:
            return b""
        if rights.is_admin:
            return authority_field(Authority(ADMIN, 0))
        role = None
        if need is not None and self.question is not None:
            role = self.question.role_allowing(rights)
        elif need is not None:
            role = rights.role_allowing_everywhere(need.object_type, need.privilege)
        # Without a role, the call concerns only the user.
        return b"" if role is None else authority_field(Authority(role, rights.read_revision))

    def answered(self) -> None:
        """Drops what is known of aliases, if the call may have changed them."""
        self._forget_aliases()

    async def judge_again(self) -> None:
        """Decides again about an open call, because roles have changed.

        Raises:
            PermissionDeniedError: no role of the user allows the call any more.
            PermissionChangedError: that depends on the request, which was not read.
            UnavailableError: the newest roles cannot be read.
            DeadlineError: root coord does not answer.
        """
        rights, roles = await self._authorizer.newest(self.username)
        need = self._need
        if need is None or self.question is not None or rights.is_admin:
            self._judge(rights, roles)
        elif _is_hopeless(need, rights):
            self._refuse(PermissionDeniedError(need.privilege, self.username, self._database))
        elif not rights.allows_everywhere(need.object_type, need.privilege):
            raise PermissionChangedError

    def _judge(self, rights: Rights, roles: tuple[str, ...]) -> None:
        """Gives the permission. Raises PermissionDeniedError if there is none."""
        need = self._need
        if not rights.is_admin:
            if need is None:
                self._refuse(
                    AdminNeededError(method_of(self.path) or "an unknown method", self.username)
                )
            question = self._asked(need)
            if not question.is_allowed(rights, roles):
                self._refuse(question.refusal())
        self._give(rights)

    def _settle(self, rights: Rights, roles: tuple[str, ...]) -> bool:
        """Decides, unless aliases must be looked up first; returns whether it did.

        Raises PermissionDeniedError.
        """
        aliases, need = self._authorizer.aliases, self._need
        if aliases is not None and need is not None and not rights.is_admin:
            question = self._asked(need)
            if question.is_allowed(rights, roles):
                self._give(rights)
                return True
            if question.may_name_alias(rights):
                held = aliases.held(question.database, question.names)
                if held is None:
                    return False
                question.targets = held
        self._judge(rights, roles)
        return True

    async def _look_up_aliases(self) -> None:
        aliases, question, head = self._authorizer.aliases, self.question, self._head
        if aliases is not None and question is not None and head is not None:
            authorization = head.authorization[0].decode("latin-1") if head.authorization else None
            question.targets = await aliases.look_up(
                self.username, question.database, question.names, authorization
            )

    def _forget_aliases(self) -> None:
        aliases = self._authorizer.aliases
        if aliases is not None and self.is_given and self.path in ALIAS_CHANGES:
            aliases.forget()

    def _asked(self, need: Need) -> Question:
        if self.question is None:
            fields = None
            if self._whole is not None:
                fields = fields_of_whole(need, self._whole)
            elif self.reads_request:
                fields = (self._scanner or self._new_scanner(need)).finish()
            self.question = Question(need, self.username, self._database, fields)
        return self.question

    def _new_scanner(self, need: Need) -> RequestScanner:
        head = self._head
        if head is None:
            raise RuntimeError("the call is decided")
        return self._authorizer.scanner(need, head)

    def _give(self, rights: Rights) -> None:
        self._rights = rights
        self._whole = self._scanner = self._standing = self._head = None
        if not self.is_given:
            self.is_given = True
            self._authorizer.allowed += 1
            self._forget_aliases()

    def _refuse(self, error: PermissionDeniedError) -> NoReturn:
        self._authorizer.note_refusal(self, error)
        raise error


def _is_hopeless(need: Need, rights: Rights) -> bool:
    """Returns whether every request is refused, also one of users about themselves."""
    return (
        not need.is_own
        and not need.own_role
        and rights.allows_nowhere(need.object_type, need.privilege)
    )
