"""`vecguard role`: manages roles and their grants through Milvus's public RPCs."""

from dataclasses import asdict
from difflib import get_close_matches
from typing import Annotated, Final

import typer
from rich.table import Table

from vecguard.cli.command import Command, group
from vecguard.cli.connection import (
    CHANGE_IS_UNSURE,
    LoginConnection,
    connected,
    require_name,
    require_text,
)
from vecguard.cli.exit_codes import NegativeError
from vecguard.cli.explain import explain
from vecguard.cli.grant_scope import GivenScope, GrantScope, scope_of
from vecguard.cli.output import (
    Output,
    OutputOption,
    console,
    print_json,
    print_line,
    print_success,
    printable,
    report_of_change,
    reporting_errors,
)
from vecguard.cli.reasons import Reason
from vecguard.cli.roles import Role, RoleClient
from vecguard.privileges.catalogue import PRIVILEGES, PUBLIC, Catalogue

# Parts of Milvus's texts.
_HAS_GRANTS: Final = "fail to drop the role that it has privileges"
_UNKNOWN_NAME: Final = "not found the privilege name"
_NAMES: Final = (*sorted(PRIVILEGES), *Catalogue().groups)

app = group("Create, list, change and drop roles, and grant privileges to them.")

app.command(cls=Command)(explain)

RoleArgument = Annotated[
    str, typer.Argument(metavar="ROLE", help="The role's name.", callback=require_name)
]
PrivilegeArgument = Annotated[
    str,
    typer.Argument(
        metavar="PRIVILEGE",
        help="A privilege, such as Search, or a group of privileges, such as CollectionReadOnly. "
        "Names are Milvus's.",
        callback=require_name,
    ),
]
TargetArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[DATABASE.]COLLECTION",
        help="On what; '*' means all. Without DATABASE: the database default. Left out where the "
        "privilege is one of a database or of the cluster.",
        callback=require_text,
    ),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The database, instead of DATABASE.", callback=require_text),
]
CollectionOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="The collection, instead of COLLECTION.", callback=require_text
    ),
]


@app.command(cls=Command)
@connected
def create(
    *,
    role: RoleArgument,
    description: Annotated[
        str, typer.Option(metavar="TEXT", help="Free text about the role.", callback=require_text)
    ] = "",
    output: OutputOption = Output.TABLE,
    connection: LoginConnection,
) -> None:
    """Create a role. It allows nothing until privileges are granted to it."""
    with reporting_errors(output):
        login = connection.login()
        connection.ask(
            lambda channel: RoleClient(channel, connection.peer, login).create(role, description),
            unsure=CHANGE_IS_UNSURE,
        )
        _done(f"created role {role}", role, output)


@app.command(name="list", cls=Command)
@connected
def list_roles(*, output: OutputOption = Output.TABLE, connection: LoginConnection) -> None:
    """List the names of all roles."""
    with reporting_errors(output):
        login = connection.login()
        names = connection.ask(
            lambda channel: RoleClient(channel, connection.peer, login).list_names()
        )
        if output is Output.JSON:
            print_json({"roles": names})
            return
        for name in names:
            print_line(name)


@app.command(cls=Command)
@connected
def describe(
    *, role: RoleArgument, output: OutputOption = Output.TABLE, connection: LoginConnection
) -> None:
    """Show which users have a role and what is granted to it. Exit code 1 if there is no such role.

    A user without further privileges sees what is granted to the user's own roles.
    """
    with reporting_errors(output):
        login = connection.login()
        found = connection.ask(
            lambda channel: RoleClient(channel, connection.peer, login).describe(role)
        )
        if output is Output.JSON:
            print_json(
                {
                    "role": found.name,
                    "description": found.description,
                    "users": None if found.users is None else list(found.users),
                    "grants": [asdict(grant) for grant in found.grants],
                }
            )
        else:
            _print_role(found)


@app.command(cls=Command)
@connected
def alter(
    *,
    role: RoleArgument,
    description: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="Free text about the role; '' for none.", callback=require_text
        ),
    ],
    output: OutputOption = Output.TABLE,
    connection: LoginConnection,
) -> None:
    """Change the description of a role."""
    with reporting_errors(output):
        login = connection.login()
        connection.ask(
            lambda channel: RoleClient(channel, connection.peer, login).alter(role, description),
            unsure=CHANGE_IS_UNSURE,
        )
        _done(f"changed the description of role {role}", role, output)


@app.command(cls=Command)
@connected
def drop(
    *,
    role: RoleArgument,
    force: Annotated[
        bool, typer.Option("--force", help="Also if privileges are granted to it.")
    ] = False,
    output: OutputOption = Output.TABLE,
    connection: LoginConnection,
) -> None:
    """Drop a role and take it from its users. A missing role is not an error."""
    with reporting_errors(output):
        login = connection.login()
        dropped = connection.ask(
            lambda channel: drop_if_present(
                RoleClient(channel, connection.peer, login), role, force=force
            ),
            unsure=CHANGE_IS_UNSURE,
        )
        with report_of_change():
            if output is Output.JSON:
                print_json({"role": role, "dropped": dropped})
            elif dropped:
                print_success(f"dropped role {role}")
            else:
                console().print(f"no role {printable(role)}: nothing to drop")


@app.command(cls=Command)
@connected
def grant(
    *,
    role: RoleArgument,
    privilege: PrivilegeArgument,
    target: TargetArgument = None,
    database: DatabaseOption = None,
    collection: CollectionOption = None,
    output: OutputOption = Output.TABLE,
    connection: LoginConnection,
) -> None:
    """Grant a privilege, or a group of privileges, to a role.

    Examples: grant reader CollectionReadOnly sales.books; grant builder CreateCollection
    --database sales; grant auditor SelectUser.
    """
    with reporting_errors(output):
        scope = scope_of(privilege, GivenScope.of(target, database, collection))
        login = connection.login()
        connection.ask(
            lambda channel: grant_privilege(
                RoleClient(channel, connection.peer, login), role, privilege, scope
            ),
            unsure=CHANGE_IS_UNSURE,
        )
        with report_of_change():
            if output is Output.JSON:
                print_json(_named(role, privilege, scope))
            else:
                print_success(f"granted {privilege} on {scope} to role {role}")


@app.command(cls=Command)
@connected
def revoke(
    *,
    role: RoleArgument,
    privilege: PrivilegeArgument,
    target: TargetArgument = None,
    database: DatabaseOption = None,
    collection: CollectionOption = None,
    output: OutputOption = Output.TABLE,
    connection: LoginConnection,
) -> None:
    """Revoke a grant. When the command returns, no proxy allows a call by it.

    It takes the names that were granted: a privilege that the role has by a group, or on all
    collections by '*', cannot be revoked for a part. See what is granted by: role describe ROLE.
    """
    with reporting_errors(output):
        scope = scope_of(privilege, GivenScope.of(target, database, collection), revoke=True)
        login = connection.login()
        revoked = connection.ask(
            lambda channel: revoke_if_granted(
                RoleClient(channel, connection.peer, login), role, privilege, scope
            ),
            unsure=CHANGE_IS_UNSURE,
        )
        with report_of_change():
            if output is Output.JSON:
                print_json({**_named(role, privilege, scope), "revoked": revoked})
            elif revoked:
                print_success(f"revoked {privilege} on {scope} from role {role}")
            else:
                console().print(
                    f"role {printable(role)} has no grant of {printable(privilege)} on "
                    f"{printable(str(scope))}: nothing to revoke"
                )


async def drop_if_present(client: RoleClient, role: str, *, force: bool) -> bool:
    """Drops a role; returns False, and changes nothing, if there is no such role.

    Raises as the methods of `client`.
    """
    if role not in await client.list_names():
        return False
    try:
        await client.drop(role, force=force)
    except NegativeError as error:
        if _HAS_GRANTS in str(error):
            raise NegativeError(
                f"{error}; --force drops the role with its grants", reason=Reason.ROLE_HAS_GRANTS
            ) from error
        raise
    return True


async def grant_privilege(client: RoleClient, role: str, privilege: str, scope: GrantScope) -> None:
    """Grants a privilege or a group; an error about an unknown name suggests a similar one.

    Raises as the methods of `client`.
    """
    try:
        await client.grant(role, privilege, scope)
    except NegativeError as error:
        similar = get_close_matches(privilege, _NAMES, n=1)
        if _UNKNOWN_NAME in str(error) and similar:
            raise NegativeError(
                f"{error}; did you mean {similar[0]}?", reason=Reason.PRIVILEGE_NOT_FOUND
            ) from error
        raise


async def revoke_if_granted(
    client: RoleClient, role: str, privilege: str, scope: GrantScope
) -> bool:
    """Revokes a grant; returns False, and changes nothing, if there is no such grant.

    Milvus succeeds with the same reply if there is none, so this lists the grants first. Raises
    as the methods of `client`.
    """
    if not any(
        (each.privilege, each.database, each.object)
        == (privilege, scope.database, scope.collection)
        for each in await client.grants(role)
    ):
        return False
    await client.revoke(role, privilege, scope)
    return True


def _named(role: str, privilege: str, scope: GrantScope) -> dict[str, str]:
    return {
        "role": role,
        "privilege": privilege,
        "database": scope.database,
        "collection": scope.collection,
    }


def _done(sentence: str, role: str, output: Output) -> None:
    with report_of_change():
        if output is Output.JSON:
            print_json({"role": role})
        else:
            print_success(sentence)


def _print_role(role: Role) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("role", printable(role.name))
    if role.description is not None:
        table.add_row("description", printable(role.description))
    if role.users is not None:
        everyone = "every user" if role.name == PUBLIC else "none"
        table.add_row("users", printable(", ".join(role.users) or everyone))
    out = console()
    out.print(table)
    if not role.grants:
        out.print("no grants")
        return
    grants = Table(box=None, pad_edge=False)
    for title in ("privilege", "database", "object", "type", "granted by"):
        grants.add_column(title)
    for each in role.grants:
        cells = (each.privilege, each.database, each.object, each.object_type, each.grantor)
        grants.add_row(*map(printable, cells))
    out.print(grants)
