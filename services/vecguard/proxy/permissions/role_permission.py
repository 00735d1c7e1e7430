"""Decides about one call by the roles of its user."""

from typing import TYPE_CHECKING, Final, NoReturn

from vecguard.privileges.catalogue import ADMIN
from vecguard.proxy.accounts.methods import SERVED
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
from vecguard.proxy.authorization.methods import ALIAS_CHANGES, Need, method_of
from vecguard.proxy.authorization.policy import Rights
from vecguard.proxy.authorization.request_fields import (
    Outline,
    RequestScanner,
    fields_of_whole,
    is_whole,
    several_messages,
)
from vecguard.proxy.identity_headers import authority_field
from vecguard.proxy.permissions.precedent import Precedent, Standing
from vecguard.proxy.principal import Authority
from vecguard.proxy.relay.calls.headers import RequestHead
from vecguard.proxy.relay.calls.permission import Permission
from vecguard.proxy.relay.reception import Client

if TYPE_CHECKING:
    from vecguard.proxy.permissions.authorizer import RoleAuthorizer

# A connection keeps precedents of at most so many methods, with outlines of at most so many bytes.
_MAX_PRECEDENTS: Final = 4
_MAX_OUTLINE_BYTES: Final = 1024
# Keeping a precedent costs as much as a decision, so calls that all differ do not replace it each
# time.
_KEPT_EVERY: Final = 16
# These calls share no permission: each has its own evidence, or an effect after it.
_NOT_SHARED: Final = ALIAS_CHANGES | SERVED


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
        authorizer: "RoleAuthorizer",
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
        if precedents is None:
            return
        earlier: Precedent | None = precedents.get(path)
        if earlier is None:
            if len(precedents) == _MAX_PRECEDENTS or path in _NOT_SHARED:
                return
        elif earlier.standing is standing and self._authorizer.allowed % _KEPT_EVERY:
            return
        if need is None or self.question is None or self.question.targets:
            return
        outline = Outline(need, whole)
        if len(outline) <= _MAX_OUTLINE_BYTES:
            precedents[path] = Precedent(self, self.username, self._databases, outline, standing)
            # Clients that do nothing must not keep grants in memory that are outdated.
            self._rights = None

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
        # A call that is judged again has been passed on, with its evidence.
        self._rights = None if self.is_given else rights
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
