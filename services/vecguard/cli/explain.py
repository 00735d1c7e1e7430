"""`vecguard role explain`: says why a call is allowed or refused."""

import shlex
from collections.abc import Sequence
from typing import Annotated, Final

import typer
from grpclib.client import Channel

from vecguard.cli.connection import Login, LoginConnection, connected, require_name, require_names
from vecguard.cli.exit_codes import ExitCode, NotAllowedError, UsageError
from vecguard.cli.grant_scope import GrantScope, arguments_of
from vecguard.cli.method_names import ABOUT_DATABASES, ABOUT_USERS_AND_ROLES, rpc_of
from vecguard.cli.output import (
    Output,
    OutputOption,
    console,
    mark,
    print_json,
    print_success,
    printable,
    reporting_errors,
)
from vecguard.cli.public_calls import LoginRefusedError, PublicCalls, UnknownMethodError
from vecguard.generated.vecguard import v1 as pb
from vecguard.privileges.catalogue import ADMIN, PUBLIC
from vecguard.usernames import ROOT

#: Methods whose answers have only what the user may see.
_LISTS: Final = frozenset(("ListDatabases", "ShowCollections"))
#: Where the user has no role that `proxy.methodRoles` names, if it names any.
_LACKS_ROLE: Final = (pb.Reason.METHOD_ROLE_NEEDED, pb.Reason.NOT_ENFORCED)
#: Where a command to copy needs a role that the user does not have.
_SOME_ROLE: Final = "ROLE"


@connected
def explain(
    *,
    username: Annotated[
        str, typer.Argument(metavar="USER", help="Who would call.", callback=require_name)
    ],
    method: Annotated[
        str,
        typer.Argument(
            metavar="METHOD",
            help="An RPC of Milvus, such as Search, a function of pymilvus, such as search, or "
            "the path of a method of another backend, such as /qdrant.Points/Search.",
            callback=require_name,
        ),
    ],
    objects: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATABASE.]COLLECTION",
            help="What the call is about. For a method about a user, a role or a database: that "
            "name.",
            callback=require_names,
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The database, instead of DATABASE.", callback=require_name
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
    connection: LoginConnection,
) -> None:
    """Say whether a user may make a call, by which grant, or which is missing.

    It is the proxy's own decision; nothing is called. Exit code 1 if the call would be refused.
    Everyone may ask about themselves, and with the privilege SelectOwnership about others.
    """
    with reporting_errors(output):
        request = request_of(username, method, objects or (), database)
        login = connection.login()
        answer = connection.ask(
            lambda channel: ask(channel, connection.peer, login, request),
        )
        if output is Output.JSON:
            print_json(_as_json(request, answer), ok=answer.allowed)
        else:
            _print(request, answer)
    if not answer.allowed:
        raise typer.Exit(ExitCode.NEGATIVE)


def request_of(
    user: str, method: str, objects: Sequence[str], database: str | None
) -> pb.ExplainRequest:
    """Returns the question of the command's arguments.

    Raises:
        UsageError: the objects are of different databases.
    """
    rpc = rpc_of(method)
    names = list(objects)
    if rpc in ABOUT_DATABASES and len(names) == 1:
        if database not in (None, names[0]):
            raise UsageError("a call is about one database, not about several")
        database = names.pop()
    elif rpc not in ABOUT_USERS_AND_ROLES:
        databases = {database} if database else set()
        for position, each in enumerate(objects):
            start, dot, names[position] = each.rpartition(".")
            if dot:
                databases.add(start)
        if len(databases) > 1:
            raise UsageError("a call is about one database, not about several")
        database = next(iter(databases), None)
    return pb.ExplainRequest(username=user, method=rpc, database=database or "", objects=names)


async def ask(
    channel: Channel, peer: str, login: Login | None, request: pb.ExplainRequest
) -> pb.ExplainReply:
    """Asks a proxy. Raises what `PublicCalls.answer` raises."""
    calls = PublicCalls(peer, login)
    try:
        return await calls.answer(pb.RolesStub(channel, metadata=calls.metadata).explain(request))
    except LoginRefusedError:
        raise
    except NotAllowedError as error:
        me = login.username if login else "the caller"
        raise NotAllowedError(
            f"{error.message}; {me} may ask about {me}, and with the privilege SelectOwnership "
            "about others: log in as root (-u root), or have the privilege granted"
        ) from error
    except UnknownMethodError as error:
        raise UnknownMethodError(
            f"{peer} explains no decisions; is it a proxy of Vecguard, of version 0.2 or newer?"
        ) from error


def commands(request: pb.ExplainRequest, answer: pb.ExplainReply) -> list[str]:
    """Returns the commands that would let a call pass that roles refuse, or would refuse."""
    user = shlex.quote(request.username)
    if answer.reason == pb.Reason.ADMIN_NEEDED or _needs_admin_later(answer):
        return [f"vecguard user roles {user} --add {ADMIN}"]
    if answer.needed_roles and answer.reason in _LACKS_ROLE:
        needed = answer.needed_roles
        role = needed[0] if len(needed) == 1 else _SOME_ROLE
        return [f"vecguard user roles {user} --add {shlex.quote(role)}"]
    if not answer.smallest_grants:
        return []
    # With several roles it is for the reader to say which of them should allow more.
    role = answer.roles[0] if len(answer.roles) == 1 else _SOME_ROLE
    grants = [
        " ".join(
            (
                *("vecguard role grant", shlex.quote(role), shlex.quote(grant.privilege)),
                *map(
                    shlex.quote,
                    arguments_of(grant.privilege, GrantScope(grant.database, grant.object)),
                ),
            )
        )
        for grant in answer.smallest_grants
    ]
    if not answer.roles:
        grants.append(f"vecguard user roles {user} --add {role}")
    return grants


def sentence(request: pb.ExplainRequest, answer: pb.ExplainReply) -> str:
    """Returns the answer in words."""
    user = request.username
    if not answer.privilege:
        on = ""
    elif answer.objects == ["*"]:
        on = "" if answer.database == "*" else f" in database {answer.database}"
    elif answer.object_type == "Collection":
        on = " on " + ", ".join(f"{answer.database}.{name}" for name in answer.objects)
    else:
        on = f" on {', '.join(answer.objects)}"
    verb = "may" if answer.allowed else "may not"
    return f"{user} {verb} call {request.method}{on}: {_why(request, answer)}"


def _why(request: pb.ExplainRequest, answer: pb.ExplainReply) -> str:
    match answer.reason:
        case pb.Reason.GRANTED:
            granted = ", ".join(
                f"{grant.privilege} on {grant.database}.{grant.object}" for grant in answer.grants
            )
            return f"role {answer.role} is granted {granted}"
        case pb.Reason.METHOD_ROLE:
            return f"role {answer.role} may, by the pattern {answer.pattern} of proxy.methodRoles"
        case pb.Reason.NOT_ENFORCED:
            missing = _missing_later(answer)
            return "this proxy does not enforce roles" + (missing and f"; with roles, {missing}")
        case pb.Reason.NOT_GRANTED:
            return _missing(answer)
        case pb.Reason.METHOD_ROLE_NEEDED:
            return _missing_role(answer)
    return {
        pb.Reason.OPEN: "every login may; the answer has what the user's roles show"
        if request.method in _LISTS
        else "every login may",
        pb.Reason.ROOT: f"{ROOT} needs no role",
        pb.Reason.ADMIN: f"{request.username} has the role {ADMIN}",
        pb.Reason.OWN: f"it concerns only {request.username}",
        pb.Reason.ADMIN_NEEDED: f"only the role {ADMIN} may",
    }.get(answer.reason, "this proxy has a reason that is newer than this command")


def _missing_later(answer: pb.ExplainReply) -> str:
    """Returns what is missing once roles are enforced; "" if that is not known."""
    if answer.needed_roles:
        return _missing_role(answer)
    if _needs_admin_later(answer):
        return f"only the role {ADMIN} may"
    return _missing(answer) if answer.smallest_grants else ""


def _missing(answer: pb.ExplainReply) -> str:
    there = "" if answer.objects == ["*"] and answer.database == "*" else " there"
    if not answer.roles:
        return f"the only role, {PUBLIC}, does not allow {answer.privilege}{there}"
    roles = ", ".join((*answer.roles, PUBLIC))
    return f"none of the roles {roles} allows {answer.privilege}{there}"


def _missing_role(answer: pb.ExplainReply) -> str:
    needed = ", ".join(answer.needed_roles)
    kind = "the role" if len(answer.needed_roles) == 1 else "one of the roles"
    return f"the pattern {answer.pattern} of proxy.methodRoles needs {kind} {needed}"


def _needs_admin_later(answer: pb.ExplainReply) -> bool:
    return answer.reason == pb.Reason.NOT_ENFORCED and answer.role == ADMIN


def _as_json(request: pb.ExplainRequest, answer: pb.ExplainReply) -> dict[str, object]:
    return {
        "username": request.username,
        "method": request.method,
        "allowed": answer.allowed,
        "reason": (pb.Reason.try_value(answer.reason).name or "unspecified").lower(),
        "roles": list(answer.roles),
        "privilege": answer.privilege or None,
        "object_type": answer.object_type or None,
        "database": answer.database or None,
        "objects": list(answer.objects),
        "role": answer.role or None,
        "grants": [_grant_as_json(grant) for grant in answer.grants],
        "smallest_grants": [_grant_as_json(grant) for grant in answer.smallest_grants],
        "pattern": answer.pattern or None,
        "needed_roles": list(answer.needed_roles),
        "commands": commands(request, answer),
    }


def _grant_as_json(grant: pb.Grant) -> dict[str, str]:
    return {
        "privilege": grant.privilege,
        "database": grant.database,
        "object": grant.object,
        "object_type": grant.object_type,
    }


def _print(request: pb.ExplainRequest, answer: pb.ExplainReply) -> None:
    words = sentence(request, answer)
    out = console()
    if answer.allowed:
        print_success(words)
    else:
        out.print(f"{mark('wrong')} {printable(words)}")
    for command in commands(request, answer):
        out.print(f"    -> {printable(command)}")
