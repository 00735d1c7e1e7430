"""The commands of `vecguard` and their parameters, as the program has them."""

from collections.abc import Iterator
from typing import Any

import typer

from vecguard.cli.__main__ import app


def commands() -> dict[str, Any]:
    """Every command and group by its name on the command line; "" is the program itself."""
    return dict(_named("", typer.main.get_command(app)))


def _named(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for each, below in getattr(command, "commands", {}).items():
        yield from _named(f"{name} {each}".strip(), below)


def is_group(command: Any) -> bool:
    return hasattr(command, "commands")


def options(command: Any) -> set[str]:
    """The names of a command's own options, without the help's."""
    own = (each for each in command.params if each.param_type_name == "option")
    return {name for each in own for name in (*each.opts, *each.secondary_opts)}
