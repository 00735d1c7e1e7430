"""Writes the output of commands: text for people, or one JSON object for programs."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from vecguard.cli.exit_codes import ExitCode, exit_code_of, reason_of
from vecguard.errors import ConfigurationError, VecguardError
from vecguard.standard_streams import take_output_failure


class Output(StrEnum):
    """The form of a command's output."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[
    Output, typer.Option("--output", "-o", metavar="table|json", help="For people or programs.")
]

_MARKS = {
    "good": "[green]✓[/green]",
    "note": "[blue]i[/blue]",
    "warning": "[yellow]![/yellow]",
    "wrong": "[red]✗[/red]",
}


def mark(kind: str) -> str:
    """Returns the sign of `good`, `note`, `warning` or `wrong`, in rich's markup."""
    return _MARKS[kind]


def console() -> Console:
    """Returns a console on standard output whose lines may exceed the last column."""
    return Console(soft_wrap=True, highlight=False)


def printable(text: str) -> str:
    """Returns foreign text so that it neither controls the terminal nor counts as markup."""
    return escape(
        "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
        )
    )


def print_success(message: str) -> None:
    """Prints one line of plain text with the sign of success."""
    console().print(f"{mark('good')} {printable(message)}")


def print_line(line: str) -> None:
    """Prints one line unchanged. typer.echo would write UTF-8 to a terminal that is ASCII."""
    sys.stdout.write(f"{line}\n")


def print_json(answer: Mapping[str, Any], *, ok: bool = True) -> None:
    """Prints the JSON object of a command with `--output json`."""
    print_line(json.dumps({"ok": ok, **answer}, indent=2))


@contextmanager
def report_of_change() -> Iterator[None]:
    """Wraps the report of a completed change: losing the report is not a failure.

    A closed pipe is ignored. Any other loss prints one sentence on standard error.
    """
    yield
    failure = take_output_failure()
    if failure is not None and not isinstance(failure, BrokenPipeError):
        _print_error_lines(
            f"the change is made, but standard output cannot be written: {failure.strerror}"
        )


def code_after_output(code: int) -> int:
    """Returns the exit code of a command that ends with `code`, or another if its output is lost.

    A code other than 0 is itself an answer and stays.
    """
    failure = take_output_failure()
    if failure is None:
        return code
    if isinstance(failure, BrokenPipeError):
        return code or ExitCode.PIPE_CLOSED
    _print_error_lines(f"standard output cannot be written: {failure.strerror}")
    return code or ExitCode.OUTPUT_LOST


def print_error(error: VecguardError, output: Output) -> None:
    """Prints an error: to standard error for people, as JSON to standard output for programs."""
    if output is Output.JSON:
        print_json({"error": error.message, "reason": reason_of(error)}, ok=False)
    elif isinstance(error, ConfigurationError):
        _print_error_lines(*error.lines)
    else:
        _print_error_lines(error.message)


def _print_error_lines(message: str, *details: str) -> None:
    err = Console(stderr=True, soft_wrap=True, highlight=False)
    err.print(f"{mark('wrong')} {printable(message)}")
    for detail in details:
        err.print(f"  {printable(detail)}")


@contextmanager
def reporting_errors(output: Output) -> Iterator[None]:
    """Turns an expected error into one sentence and an exit code.

    Raises:
        typer.Exit: with the code of the error.
    """
    try:
        yield
    except VecguardError as error:
        print_error(error, output)
        raise typer.Exit(exit_code_of(error)) from None
