"""Runs the Python programs of a page one after the other, in any interpreter."""

import ast
import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

# How a comment behind a statement begins that says what the statement does.
_RAISES: Final = "raises "
_LITERALS: Final = ("[", "{", "(", "'", '"')
_SECONDS: Final = 60


class PythonSession:
    """An interpreter that keeps its names from one program to the next, as a reader's does."""

    def __init__(self, python: Path, directory: Path, environment: Mapping[str, str]) -> None:
        self._python = python
        self._directory = directory
        self._environment = environment

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(str(self._python), "-u", __file__),
            cwd=self._directory,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._process.stdin.close()
        await self._process.wait()

    async def run(self, program: str) -> None:
        """Runs it; a comment behind a statement is what it has to return, or `raises NAME`."""
        self._process.stdin.write(json.dumps(program).encode() + b"\n")
        async with asyncio.timeout(_SECONDS):
            answer = json.loads(await self._process.stdout.readline())
        assert answer is None, answer


def _serve() -> None:
    """Runs the programs that come as lines of JSON; answers null or what went wrong."""
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
