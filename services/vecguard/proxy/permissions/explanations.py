"""Serves `vecguard.v1.Roles`: says why a call would be allowed or refused."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from vecguard.errors import InvalidParameterError, Status, VecguardError
from vecguard.generated.vecguard import v1 as pb
from vecguard.grpc.server import current_caller
from vecguard.privileges.catalogue import ADMIN
from vecguard.privileges.stored_names import api_name
from vecguard.proxy.accounts.errors import UnidentifiedCallerError
from vecguard.proxy.accounts.methods import path_of
from vecguard.proxy.audit.event_aggregation import RefusedCall
from vecguard.proxy.authentication.credentials import CredentialCache
from vecguard.proxy.authorization.decision import Question
from vecguard.proxy.authorization.errors import PermissionDeniedError
from vecguard.proxy.authorization.explanation import (
    Explanation,
    Reason,
    explain,
    explain_method_roles,
    fields_of,
)
from vecguard.proxy.authorization.method_roles import MethodRoles
from vecguard.proxy.authorization.methods import ADMIN_ONLY, METHODS, OPEN, Treatment
from vecguard.proxy.authorization.policy import Grant
from vecguard.proxy.identity_headers import Caller, read_caller
from vecguard.proxy.permissions.authorizer import RoleAuthorizer
from vecguard.usernames import ROOT

_DEFAULT_DATABASE: Final = "default"
# Who may list roles may ask about every user.
_LIST_ROLES: Final = "SelectRole"
_EXPLAIN: Final = "/vecguard.v1.Roles/Explain"
_METHODS_OF_MILVUS: Final = frozenset({*METHODS, *OPEN, *ADMIN_ONLY})
_is_path: Final = re.compile(r"/[!-.0-~]+/[!-.0-~]+").fullmatch


class UnknownUserError(VecguardError):
    """There is no user of this name."""

    status = Status.NOT_FOUND
    reason = "unknown_user"

    def __init__(self, username: str) -> None:
        super().__init__(f"there is no user {username}")


class Explainer:
    """Explains the decisions of a `RoleAuthorizer`."""

    def __init__(self, authorizer: RoleAuthorizer, credentials: CredentialCache) -> None:
        """`credentials` are those of the authorizer."""
        self._authorizer = authorizer
        self._credentials = credentials

    async def explain(
        self,
        username: str,
        method: str,
        database: str,
        objects: Sequence[str],
        authorization: str | None = None,
    ) -> tuple[Explanation, tuple[str, ...]]:
        """Explains the decision about a call, and returns the user's roles without `public`.

        As for the call itself, the backend is asked which collections the names refer to, if the
        decision can depend on it; with `authorization`, where the backend wants credentials.

        Raises:
            UnknownUserError: there is no such user.
            InvalidParameterError: Milvus has no such method, or no request about these objects; or
                the path is malformed.
            UnavailableError: nothing can be decided now, for the reason in its text.
            DeadlineError: root coord does not answer.
            OverloadedError: the roles keep changing.
        """
        path = _path_meant_by(method)
        if (await self._credentials.get(username)).password is None:
            raise UnknownUserError(username)
        found, roles = await self._judge(username, path, database, objects, authorization)
        if not found.reason.allows and not self._authorizer.is_enforced(path):
            role = ADMIN if found.reason is Reason.ADMIN_NEEDED else ""
            found = replace(found, reason=Reason.NOT_ENFORCED, role=role)
        return found, roles

    async def require_may_ask(self, caller: Caller, about: str) -> None:
        """Returns if the caller may ask about the user `about`: callers who may list roles may.

        Raises PermissionDeniedError, which the audit log records, and what `explain` raises.
        """
        username = caller.principal.username
        found, _ = await self.explain(username, _LIST_ROLES, "", ())
        if not found.reason.allows and found.need is not None:
            error = PermissionDeniedError(found.need.privilege, username, found.database)
            self._authorizer.note_refused(
                RefusedCall(
                    username,
                    caller.host,
                    _EXPLAIN,
                    api_name(found.need.privilege),
                    (about,),
                    found.database,
                )
            )
            raise error

    async def _judge(
        self,
        username: str,
        path: bytes,
        database: str,
        objects: Sequence[str],
        authorization: str | None,
    ) -> tuple[Explanation, tuple[str, ...]]:
        """Explains as if roles were enforced."""
        rights, roles = await self._authorizer.rights_after_wait(username)
        need = self._authorizer.need_of(path)
        if need in (Treatment.LOGIN, Treatment.LISTED):
            return Explanation(Reason.OPEN), roles
        if username == ROOT and not self._authorizer.root_is_bound:
            return Explanation(Reason.ROOT), roles
        if isinstance(need, MethodRoles):
            return explain_method_roles(need, roles), roles
        if isinstance(need, Treatment):
            return Explanation(Reason.ADMIN if rights.is_admin else Reason.ADMIN_NEEDED), roles
        fields = fields_of(need, database, objects)
        question = Question(need, username, database or _DEFAULT_DATABASE, fields)
        aliases = self._authorizer.aliases
        if (
            aliases is not None
            and not question.is_allowed(rights, roles)
            and question.may_name_alias(rights)
        ):
            question.targets = await aliases.look_up(
                username, question.database, question.names, authorization
            )
            rights, roles = await self._authorizer.rights_after_wait(username)
        return explain(need, question, rights, roles), roles


def _path_meant_by(method: str) -> bytes:
    """Returns the path of a method of Milvus, or of any service. Raises InvalidParameterError."""
    path = path_of(method) if "/" not in method else "/" + method.removeprefix("/")
    if path.startswith(path_of("")):
        if path.encode() not in _METHODS_OF_MILVUS:
            raise InvalidParameterError(
                f"Milvus has no method {path.removeprefix(path_of(''))}; give the name of one of "
                "its RPCs, such as Search"
            )
    elif not _is_path(path):
        raise InvalidParameterError(
            f"{method} is not the path of a method; write it like /qdrant.Points/Search"
        )
    return path.encode()


class ExplanationService(pb.RolesBase):
    """Serves calls of the relay only: trusts its identity headers, which clients cannot set."""

    def __init__(self, explainer: Explainer | None) -> None:
        """None where authorization is switched off, so that everything is allowed."""
        self._explainer = explainer

    async def explain(self, explain_request: pb.ExplainRequest) -> pb.ExplainReply:
        """Answers the caller about itself, and about others with the privilege SelectOwnership.

        Raises what `Explainer.explain` raises, and PermissionDeniedError.
        """
        if self._explainer is None:
            return _reply(Explanation(Reason.NOT_ENFORCED), ())
        headers = current_caller().metadata
        caller = read_caller(headers)
        if caller.principal.is_anonymous:
            raise UnidentifiedCallerError
        request = explain_request
        if request.username != caller.principal.username:
            await self._explainer.require_may_ask(caller, request.username)
        return _reply(
            *await self._explainer.explain(
                request.username,
                request.method,
                request.database,
                request.objects,
                headers.get("authorization"),
            )
        )


def _reply(found: Explanation, roles: Sequence[str]) -> pb.ExplainReply:
    return pb.ExplainReply(
        allowed=found.reason.allows,
        reason=pb.Reason[found.reason.name],
        roles=list(roles),
        privilege=api_name(found.need.privilege) if found.need else "",
        object_type=found.need.object_type if found.need else "",
        database=found.database,
        objects=list(found.names),
        role=found.role,
        grants=[_grant(grant) for grant in found.grants],
        smallest_grants=[_grant(grant) for grant in found.smallest],
        pattern=found.pattern,
        needed_roles=list(found.needed),
    )


def _grant(grant: Grant) -> pb.Grant:
    return pb.Grant(grant.object_type, grant.database, grant.object, api_name(grant.privilege))
