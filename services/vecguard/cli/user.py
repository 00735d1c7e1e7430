"""`vecguard user`: manages accounts through Milvus's public RPCs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vecguard.cli.accounts import AccountClient, User
from vecguard.cli.command import Command, group
from vecguard.cli.connection import (
    CHANGE_IS_UNSURE,
    Login,
    LoginConnection,
    connected,
    require_name,
    require_names,
    require_text,
)
from vecguard.cli.exit_codes import NegativeError, UsageError
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
from vecguard.cli.password_source import PasswordSource
from vecguard.cli.reasons import Reason
from vecguard.cli.roles import RoleClient

app = group("Create, list, change and delete users, and give them roles.")

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The user's name.", callback=require_name)
]
OwnNameArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        help="The user's name; default: the user who logs in.",
        callback=require_name,
    ),
]
NewPasswordFileOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File with the new password; - reads a line of standard input, after that of "
        "--password-file. Default: ask for it twice.",
    ),
]


@app.command(cls=Command)
@connected
def create(
    *,
    name: NameArgument,
    description: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Free text about the user.", callback=require_text),
    ] = None,
    new_password_file: NewPasswordFileOption = None,
    output: OutputOption = Output.TABLE,
    connection: LoginConnection,
) -> None:
    """Create a user. Without a role the user may do hardly anything: see `user roles`."""
    with reporting_errors(output):
        login = connection.login()
        password = _new_password(name, new_password_file).read()
        connection.ask(
            lambda channel: AccountClient(channel, connection.peer, login).create(
                name, password, description
            ),
            unsure=CHANGE_IS_UNSURE,
        )
        _done(f"created user {name}", name, output)


@app.command(name="list", cls=Command)
@connected
def list_users(*, output: OutputOption = Output.TABLE, connection: LoginConnection) -> None:
    """List the names of all users."""
    with reporting_errors(output):
        login = connection.login()
        names = connection.ask(
            lambda channel: AccountClient(channel, connection.peer, login).list_names()
        )
        if output is Output.JSON:
            print_json({"users": names})
            return
        for name in names:
            print_line(name)


@app.command(cls=Command)
@connected
def describe(
    *,
    name: OwnNameArgument = None,
    output: OutputOption = Output.TABLE,
    connection: LoginConnection,
) -> None:
    """Show a user's roles and description. Exit code 1 if there is no such user."""
    with reporting_errors(output):
        login = connection.login()
        wanted = _own(name, login)
        user = connection.ask(
            lambda channel: AccountClient(channel, connection.peer, login).describe(wanted)
        )
        if user is None:
            raise NegativeError(f"there is no user {wanted}", reason=Reason.USER_NOT_FOUND)
        if output is Output.JSON:
            print_json(
                {
                    "username": user.username,
                    "roles": list(user.roles),
                    "description": user.description,
                }
            )
        else:
            _print_user(user)


@app.command(cls=Command)
@connected
def passwd(
    *,
    name: OwnNameArgument = None,
    new_password_file: NewPasswordFileOption = None,
    old_password_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with the old password of NAME. Needed for another user's password, unless "
            "you log in as root or a super user; a Milvus also needs it from root.",
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
    connection: LoginConnection,
) -> None:
    """Change a password. When the command returns, no proxy accepts the old password."""
    with reporting_errors(output):
        login = connection.login()
        target = _own(name, login)
        old = login.password if login and login.username == target else None
        if old_password_file is not None:
            old = PasswordSource(
                f"old password of {target}", old_password_file, "--old-password-file"
            ).read()
        new = _new_password(target, new_password_file).read()
        connection.ask(
            lambda channel: AccountClient(channel, connection.peer, login).change_password(
                target, new, old
            ),
            unsure=CHANGE_IS_UNSURE,
        )
        _done(f"changed the password of {target}", target, output)


@app.command(cls=Command)
@connected
def delete(
    *, name: NameArgument, output: OutputOption = Output.TABLE, connection: LoginConnection
) -> None:
    """Delete a user. Deleting a user that does not exist is not an error."""
    with reporting_errors(output):
        login = connection.login()
        deleted = connection.ask(
            lambda channel: delete_if_present(AccountClient(channel, connection.peer, login), name),
            unsure=CHANGE_IS_UNSURE,
        )
        with report_of_change():
            if output is Output.JSON:
                print_json({"username": name, "deleted": deleted})
            elif deleted:
                print_success(f"deleted user {name}")
            else:
                console().print(f"no user {printable(name)}: nothing to delete")


@app.command(cls=Command)
@connected
def roles(
    *,
    name: OwnNameArgument = None,
    add: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE", help="A role to give; may be repeated.", callback=require_names
        ),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE", help="A role to take; may be repeated.", callback=require_names
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
    connection: LoginConnection,
) -> None:
    """Show a user's roles, or give and take roles.

    When the command returns, every proxy uses the new roles. Each role is one change, so that an
    error may leave the earlier ones made. Every user also has the role public, which is not shown.
    """
    with reporting_errors(output):
        login = connection.login()
        username = _own(name, login)
        if not add and not remove:
            _show_roles(username, login, output, connection)
            return
        added, removed = add or [], remove or []
        connection.ask(
            lambda channel: change_roles(
                RoleClient(channel, connection.peer, login), username, added, removed
            ),
            unsure=CHANGE_IS_UNSURE,
        )
        with report_of_change():
            if output is Output.JSON:
                print_json({"username": username, "added": added, "removed": removed})
                return
            for role in added:
                print_success(f"user {username} has the role {role}")
            for role in removed:
                print_success(f"user {username} does not have the role {role}")


async def change_roles(
    client: RoleClient, username: str, added: Sequence[str], removed: Sequence[str]
) -> None:
    """Gives roles, then takes roles. Raises as the methods of `client`, at the first error."""
    for role in added:
        await client.give(role, username)
    for role in removed:
        await client.take(role, username)


async def delete_if_present(client: AccountClient, name: str) -> bool:
    """Deletes a user; returns False, and changes nothing, if there is no such user.

    Milvus's DeleteCredential succeeds for an unknown user too, with the same reply, so this lists
    the users first. Raises as the methods of `client`.
    """
    if name not in await client.list_names():
        return False
    await client.delete(name)
    return True


def _new_password(username: str, file: Path | None) -> PasswordSource:
    return PasswordSource(f"new password of {username}", file, "--new-password-file", confirm=True)


def _own(name: str | None, login: Login | None) -> str:
    if name is not None:
        return name
    if login is None:
        raise UsageError("name the user: with --no-login there is no default")
    return login.username


def _done(sentence: str, username: str, output: Output) -> None:
    with report_of_change():
        if output is Output.JSON:
            print_json({"username": username})
        else:
            print_success(sentence)


def _show_roles(
    username: str, login: Login | None, output: Output, connection: LoginConnection
) -> None:
    user = connection.ask(
        lambda channel: AccountClient(channel, connection.peer, login).describe(username)
    )
    if user is None:
        raise NegativeError(f"there is no user {username}", reason=Reason.USER_NOT_FOUND)
    if output is Output.JSON:
        print_json({"username": username, "roles": list(user.roles)})
        return
    for role in user.roles:
        print_line(role)
    if not user.roles:
        console().print("no roles")


def _print_user(user: User) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("user", printable(user.username))
    table.add_row("roles", printable(", ".join(user.roles) or "none"))
    table.add_row("description", printable(user.description))
    console().print(table)
