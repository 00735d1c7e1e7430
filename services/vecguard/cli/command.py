"""Defines the classes of the commands of `vecguard`: how their help looks.

typer's own help draws boxes with a column for types, which leaves little room for the texts on a
terminal of 80 columns.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from textwrap import wrap
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

#: Both names of the option that shows the help; subcommands inherit them.
_SETTINGS: Final = {"help_option_names": ["-h", "--help"]}
_DEFAULT_SECTION: Final = "Options"
_INDENT: Final = 2
#: Columns; a longer name has a line of its own.
_MAX_NAME: Final = 26


class Command(TyperCommand):
    """A command with a help text of one column for options and one for their meaning."""

    def __init__(self, *args: Any, help: str | None = None, **more: Any) -> None:  # noqa: A002 - typer's word
        # A docstring breaks lines inside a paragraph.
        paragraphs = (help or "").split("\n\n")
        joined = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        super().__init__(*args, help=joined, **more)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Returns what follows the command's name in the usage line."""
        del ctx
        return ["[OPTIONS]", *(_argument(each) for each in _arguments(self.params))]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the sections of arguments and options."""
        _write_parameters(self.get_params(ctx), formatter)


class Group(TyperGroup):
    """A group of commands; its help lists them with the first sentences of theirs."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the commands, then the options."""
        self.format_commands(ctx, formatter)
        _write_parameters(self.get_params(ctx), formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes the names of the commands and what they do."""
        names = self.list_commands(ctx)
        found = [(name, self.get_command(ctx, name)) for name in names]
        rows = [(name, (each.help or "").partition("\n\n")[0]) for name, each in found if each]
        _write_section(formatter, "Commands", rows)


def group(help: str, **more: Any) -> typer.Typer:  # noqa: A002 - typer's word
    """Returns a group of commands, for `Command` as the class of each."""
    return typer.Typer(
        cls=Group,
        help=help,
        no_args_is_help=True,
        context_settings=_SETTINGS,
        rich_markup_mode=None,
        # A traceback with local variables could print a secret.
        pretty_exceptions_enable=False,
        **more,
    )


def _arguments(parameters: Iterable[Any]) -> Iterable[Any]:
    return (each for each in parameters if each.param_type_name == "argument")


def _argument(parameter: Any) -> str:
    """Returns an argument as the usage line has it; the brackets of a part of it stay."""
    name = _name(parameter)
    if parameter.nargs != 1:
        name = f"{name.removesuffix('...')}..."
    return name if parameter.required or name.startswith("[") else f"[{name}]"


def _name(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _write_parameters(parameters: Iterable[Any], formatter: Any) -> None:
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], _DEFAULT_SECTION: []}
    for each in parameters:
        if each.hidden:
            continue
        if each.param_type_name == "argument":
            sections["Arguments"].append((_name(each), _meaning(each)))
        else:
            section = getattr(each, "rich_help_panel", None) or _DEFAULT_SECTION
            sections.setdefault(section, []).append((_option(each), _meaning(each)))
    for section, rows in sections.items():
        if rows:
            _write_section(formatter, section, rows)


def _write_section(formatter: Any, heading: str, rows: Sequence[tuple[str, str]]) -> None:
    """Writes names in one column and texts in another. typer's breaks names at their hyphens."""
    column = min(max(len(name) for name, _ in rows), _MAX_NAME) + 2 * _INDENT
    lines = [f"\n{heading}:"]
    for name, text in rows:
        start = " " * _INDENT + name
        if len(start) + _INDENT > column:
            lines.append(start)
            start = ""
        lines += wrap(
            text,
            formatter.width,
            initial_indent=start.ljust(column),
            subsequent_indent=" " * column,
            break_on_hyphens=False,
            break_long_words=False,
        ) or [start]
    formatter.write("\n".join(lines) + "\n")


def _option(parameter: Any) -> str:
    names = ", ".join(sorted(parameter.opts, key=len))
    return names if parameter.is_flag else f"{names} {_name(parameter)}"


def _meaning(parameter: Any) -> str:
    notes = []
    default = parameter.default
    if isinstance(default, Enum):
        default = default.value
    if default not in (None, False, ()) and not callable(default):
        notes.append(
            f"default: {default:g}" if isinstance(default, float) else f"default: {default}"
        )
    if getattr(parameter, "required", False) and parameter.param_type_name == "option":
        notes.append("required")
    if parameter.envvar:
        notes.append(f"variable: {parameter.envvar}")
    text = parameter.help or ""
    return f"{text} [{'; '.join(notes)}]" if notes else text
