"""`vecguard group`: manages privilege groups through Milvus's public RPCs."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer

from vecguard.cli import command
from vecguard.cli.connection import (
    CHANGE_IS_UNSURE,
    LoginConnection,
    connected,
    require_name,
    require_names,
)
from vecguard.cli.output import (
    Output,
    OutputOption,
    console,
    print_json,
    print_success,
    printable,
    report_of_change,
    reporting_errors,
)
from vecguard.cli.roles import RoleClient

app = command.group("Create, list, change and drop groups of privileges.")

GroupArgument = Annotated[
    str, typer.Argument(metavar="GROUP", help="The group's name.", callback=require_name)
]
PrivilegesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="PRIVILEGE...",
        help="Milvus's names, such as Search; all of one level.",
        callback=require_names,
    ),
]


@app.command(cls=command.Command)
@connected
def create(
    *, group: GroupArgument, output: OutputOption = Output.TABLE, connection: LoginConnection
) -> None:
    """Create a group of privileges, which is empty at first."""
    with reporting_errors(output):
        login = connection.login()
        connection.ask(
            lambda channel: RoleClient(channel, connection.peer, login).create_group(group),
            unsure=CHANGE_IS_UNSURE,
        )
        _done(f"created group {group}", {"group": group}, output)


@app.command(name="list", cls=command.Command)
@connected
def list_groups(*, output: OutputOption = Output.TABLE, connection: LoginConnection) -> None:
    """List the groups with their privileges, built-in groups last."""
    with reporting_errors(output):
        login = connection.login()
        groups = connection.ask(
            lambda channel: RoleClient(channel, connection.peer, login).list_groups()
        )
        if output is Output.JSON:
            print_json({"groups": [asdict(group) for group in groups]})
            return
        out = console()
        for group in groups:
            mark = " (built in)" if group.built_in else ""
            members = ", ".join(group.privileges) or "none"
            out.print(f"[bold]{printable(group.name)}[/bold]{mark}: {printable(members)}")


@app.command(cls=command.Command)
@connected
def add(
    *,
    group: GroupArgument,
    privileges: PrivilegesArgument,
    output: OutputOption = Output.TABLE,
    connection: LoginConnection,
) -> None:
    """Add privileges to a group. The roles that have the group gain them."""
    with reporting_errors(output):
        login = connection.login()
        connection.ask(
            lambda channel: RoleClient(channel, connection.peer, login).add_to_group(
                group, privileges
            ),
            unsure=CHANGE_IS_UNSURE,
        )
        answer = {"group": group, "privileges": privileges}
        _done(f"group {group} has {', '.join(privileges)}", answer, output)


@app.command(cls=command.Command)
@connected
def remove(
    *,
    group: GroupArgument,
    privileges: PrivilegesArgument,
    output: OutputOption = Output.TABLE,
    connection: LoginConnection,
) -> None:
    """Remove privileges from a group. Then no role has them through the group."""
    with reporting_errors(output):
        login = connection.login()
        connection.ask(
            lambda channel: RoleClient(channel, connection.peer, login).remove_from_group(
                group, privileges
            ),
            unsure=CHANGE_IS_UNSURE,
        )
        answer = {"group": group, "privileges": privileges}
        _done(f"group {group} no longer has {', '.join(privileges)}", answer, output)


@app.command(cls=command.Command)
@connected
def drop(
    *, group: GroupArgument, output: OutputOption = Output.TABLE, connection: LoginConnection
) -> None:
    """Drop a group that no role has. A missing group is not an error."""
    with reporting_errors(output):
        login = connection.login()
        dropped = connection.ask(
            lambda channel: drop_if_present(RoleClient(channel, connection.peer, login), group),
            unsure=CHANGE_IS_UNSURE,
        )
        with report_of_change():
            if output is Output.JSON:
                print_json({"group": group, "dropped": dropped})
            elif dropped:
                print_success(f"dropped group {group}")
            else:
                console().print(f"no group {printable(group)}: nothing to drop")


async def drop_if_present(client: RoleClient, group: str) -> bool:
    """Drops a group; returns False, and changes nothing, if there is no such group.

    Raises as the methods of `client`.
    """
    if all(each.name != group for each in await client.list_groups()):
        return False
    await client.drop_group(group)
    return True


def _done(sentence: str, answer: Mapping[str, Any], output: Output) -> None:
    with report_of_change():
        if output is Output.JSON:
            print_json(answer)
        else:
            print_success(sentence)
