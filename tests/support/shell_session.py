"""Runs the shell commands of a page one after the other at one terminal, as a reader does."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import pexpect

from tests.support.documented_steps import Command

_SECONDS: Final = 60
_READY: Final = "ready for the next command after "
#: How a line begins that says no: the command then exits with 1.
_REFUSAL: Final = "✗"
_STYLE: Final = re.compile(r"\x1b\[[0-9;]*m")
#: What differs from run to run in the output that a page shows; `...` stands for any text.
_VARYING: Final = {
    r"\d+(?:\.\d+)? (?:ms|s|min|h|d)\b": r"\d+(?:\.\d+)? (?:ms|s|min|h|d)",
    r"\d{4}-\d{2}-\d{2}": r"\d{4}-\d{2}-\d{2}",
    r"(?<=term )\d+": r"\d+",
    r"\.\.\.": r"[^\n]*",
    r" +": r" +",
}


class ShellSession:
    """A bash that keeps its variables and files from one command to the next."""

    def __init__(
        self, directory: Path, environment: Mapping[str, str], answers: Mapping[str, str]
    ) -> None:
        """Describes it.

        Args:
            directory: where it runs.
            environment: its variables.
            answers: a pattern of each prompt, and what to type there.
        """
        self._directory = directory
        self._environment = dict(environment) | {"PS1": f"{_READY}$?.", "PS2": ""}
        self._answers = dict(answers)

    def __enter__(self) -> Self:
        self._terminal = pexpect.spawn(
            "/bin/bash",
            ["--norc", "--noprofile", "--noediting"],
            cwd=str(self._directory),
            env=self._environment,
            encoding="utf-8",
            echo=False,
            timeout=_SECONDS,
            # Wide enough for a table that the page shows.
            dimensions=(50, 200),
        )
        self._finish()
        return self

    def __exit__(self, *_: object) -> None:
        self._terminal.close(force=True)

    def run(self, command: Command) -> None:
        """Runs a command: it prints the lines of the page, in order, and exits as they say."""
        self._terminal.sendline(command.text)
        code, printed = self._finish()
        refuses = any(line.startswith(_REFUSAL) for line in command.output)
        assert code == refuses, f"{command.text}\nexits with {code}:\n{printed}"
        shown = ".*".join(rf"^ *{_pattern(line)}" for line in command.output)
        found = re.search(shown, printed, re.MULTILINE | re.DOTALL)
        assert found, f"{command.text}\ndoes not print what the page shows, but:\n{printed}"

    def _finish(self) -> tuple[int, str]:
        """Returns the exit code of the running command, and what it prints."""
        printed = ""
        prompts = list(self._answers)
        while (prompt := self._terminal.expect([rf"{_READY}(\d+)\.", *prompts])) != 0:
            printed += self._terminal.before
            self._terminal.sendline(self._answers[prompts[prompt - 1]])
        printed += self._terminal.before
        text = _STYLE.sub("", printed).replace("\r\n", "\n")
        return int(self._terminal.match[1]), text


def _pattern(line: str) -> str:
    """Returns a pattern of a line that a page shows."""
    pattern, end = "", 0
    line = line.strip()
    for found in re.finditer("|".join(f"({each})" for each in _VARYING), line):
        pattern += re.escape(line[end : found.start()])
        pattern += list(_VARYING.values())[found.lastindex - 1]
        end = found.end()
    return pattern + re.escape(line[end:])
