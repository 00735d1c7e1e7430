"""Reads the commands and programs of a page."""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Blocks with a prompt before each command, and blocks of commands alone.
SHELL: Final = ("console", "sh")
PYTHON: Final = "python"
_BLOCK = re.compile(
    r'^(?P<indent> *)```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?[^\n]*\n'
    r"(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
_PROMPT: Final = "$ "


@dataclass(frozen=True)
class Block:
    """A fenced block. `line` is where its text begins in the page, from 1.

    `title` is the name of the file that it shows, or "".
    """

    page: Path
    line: int
    language: str
    title: str
    text: str


@dataclass(frozen=True)
class Command:
    """A shell command of a block, and the lines that the page shows as its output."""

    text: str
    output: tuple[str, ...] = ()


def blocks(page: Path, heading: str | None = None) -> list[Block]:
    """Returns the fenced blocks of a page.

    Args:
        page: its file.
        heading: a line of the page; returns only the blocks between it and the next heading of
            the same level.
    """
    content = page.read_text()
    found = [
        Block(
            page,
            content.count("\n", 0, each.start("text")) + 1,
            each["language"],
            each["title"] or "",
            textwrap.dedent(each["text"]),
        )
        for each in _BLOCK.finditer(content)
    ]
    if heading is None:
        return found
    lines = content.splitlines()
    first = lines.index(heading) + 1
    level = heading.partition(" ")[0] + " "
    later = [number for number, line in enumerate(lines, 1) if line.startswith(level)]
    last = next((number for number in later if number > first), len(lines) + 1)
    return [each for each in found if first < each.line < last]


def commands(block: Block) -> list[Command]:
    """Returns the commands of a block of the shell: of `console` those after `$ `."""
    if block.language not in SHELL:
        return []
    joined = re.sub(r"\\\n\s*", "", block.text)
    lines = [line for line in joined.splitlines() if line.strip()]
    if block.language == "sh":
        return [Command(_without_comment(line)) for line in lines]
    found: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith(_PROMPT):
            found.append((_without_comment(line.removeprefix(_PROMPT)), []))
        else:
            found[-1][1].append(line)
    return [Command(text, tuple(output)) for text, output in found]


def _without_comment(line: str) -> str:
    return re.split(r" +# ", line, maxsplit=1)[0].strip()
