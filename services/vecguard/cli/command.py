"""Defines the class of every command of `vecguard`."""

from typing import Any

from typer.core import TyperCommand


class Command(TyperCommand):
    """A command whose docstring may break lines inside a paragraph.

    typer joins the lines of the first paragraph of a help text, but keeps the line breaks of the
    other paragraphs.
    """

    def __init__(self, *args: Any, help: str | None = None, **more: Any) -> None:  # noqa: A002 - typer's word
        paragraphs = (help or "").split("\n\n")
        joined = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        super().__init__(*args, help=joined, **more)
