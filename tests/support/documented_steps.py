"""Reads the commands and programs of a page, and runs them as a reader would."""

import ast
import asyncio
import json
import os
import re
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import pexpect

#: Blocks with a prompt before each command, and blocks of commands alone.
SHELL: Final = ("console", "sh")
PYTHON: Final = "python"
_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL
)
_PROMPT: Final = "$ "
# How a comment behind a statement begins that says what the statement does.
_RAISES: Final = "raises "
_LITERALS: Final = ("[", "{", "(", "'", '"')
_SECONDS: Final = 60


@dataclass(frozen=True)
class Block:
    """A fenced block. `line` is where its text begins in the page, from 1."""

    page: Path
    line: int
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """A shell command of a block, and the lines that the page shows as its output."""

    text: str
    output: tuple[str, ...] = ()


def blocks(page: Path) -> list[Block]:
    """Returns all fenced blocks of a page."""
    content = page.read_text()
    return [
        Block(
            page,
            content.count("\n", 0, found.start("text")) + 1,
            found["language"],
            textwrap.dedent(found["text"]),
        )
        for found in _BLOCK.finditer(content)
    ]


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


def run_command(
    command: Command, *, directory: Path, environment: Mapping[str, str], answers: Mapping[str, str]
) -> str:
    """Runs a command at a terminal, and returns what it prints.

    Args:
        command: what to run. Its output has to contain the lines that the page shows.
        directory: where it runs.
        environment: its variables.
        answers: a pattern of each prompt, and what to type there.
    """
    terminal = pexpect.spawn(
        "/bin/bash",
        ["-c", command.text],
        cwd=str(directory),
        env=dict(environment),
        encoding="utf-8",
        timeout=_SECONDS,
        dimensions=(50, 200),
    )
    printed = ""
    prompts = list(answers)
    while (prompt := terminal.expect([pexpect.EOF, *prompts])) != 0:
        printed += terminal.before
        terminal.sendline(answers[prompts[prompt - 1]])
    printed += terminal.before
    terminal.close()
    missing = [line for line in command.output if line.strip() not in printed]
    failed = terminal.exitstatus != 0 and not command.output
    assert not failed, f"{command.text} ends with {terminal.exitstatus}:\n{printed}"
    assert not missing, f"{command.text} does not print {missing}:\n{printed}"
    return printed


class PythonSession:
    """An interpreter that runs one block after the other, as a reader's would."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._environment = environment

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", __file__),
            cwd=self._directory,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._process.stdin.close()
        await self._process.wait()

    async def run(self, block: Block) -> None:
        """Runs a block; a comment behind a statement is what it has to return, or `raises NAME`."""
        self._process.stdin.write(json.dumps(block.text).encode() + b"\n")
        async with asyncio.timeout(_SECONDS):
            answer = json.loads(await self._process.stdout.readline())
        assert answer is None, f"{block.page.name}, line {block.line}: {answer}"


def _serve() -> None:
    """Runs the blocks that come as lines of JSON; answers null or what went wrong."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    names: dict[str, object] = {"__name__": "__main__"}
    for line in sys.stdin:
        answers.write(json.dumps(_problem_of(json.loads(line), names)) + "\n")


def _problem_of(text: str, names: dict[str, object]) -> str | None:
    lines = text.splitlines()
    for statement in ast.parse(text).body:
        behind = lines[statement.end_lineno - 1][statement.end_col_offset :]
        expected = behind.partition("#")[2].strip()
        source = ast.get_source_segment(text, statement)
        run = eval if isinstance(statement, ast.Expr) else exec
        try:
            value = run(source, names)
        except Exception as error:  # noqa: BLE001 - the page says which one it has to be
            if not _is_raised(expected, error):
                return f"{source}\nraises {error!r}"
            continue
        if expected.startswith(_RAISES):
            return f"{source}\nraises nothing"
        if expected.startswith(_LITERALS) and value != ast.literal_eval(expected):
            return f"{source}\nreturns {value!r}"
    return None


def _is_raised(expected: str, error: Exception) -> bool:
    kinds = {each.__name__ for each in type(error).__mro__}
    return expected.startswith(_RAISES) and expected.rpartition(".")[2] in kinds


if __name__ == "__main__":
    _serve()
