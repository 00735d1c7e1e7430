"""The steps of README and of the tutorial about roles, run as written against `make run`."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.local.process import Process, Program
from deploy.local.readiness import http_ok
from deploy.local.stack import CHECKOUT
from tests.e2e.stacks import clean_environment
from tests.support.documented_steps import (
    PYTHON,
    SHELL,
    Block,
    PythonSession,
    blocks,
    commands,
    run_command,
)
from tests.support.network_namespace import run_in_own_network

ENVIRONMENT = clean_environment() | {
    "PATH": f"{CHECKOUT / '.venv' / 'bin'}:{os.environ['PATH']}",
    "TERM": "dumb",
}
# What a reader types: the old password of root, and the one that the pages give to all users.
ANSWERS = {
    r"New password of \w+(, again)?: ": "a-good-password",
    r"Password of root: ": "Milvus",
}
#: `make run` and `make test` are what this test and .ci/run do.
MAKE = ("make run", "make test")


def section(page: str, heading: str) -> list[Block]:
    """Returns the blocks between a heading of a page and the next heading of the same level."""
    path = CHECKOUT / page
    lines = path.read_text().splitlines()
    first = lines.index(heading) + 1
    level = heading.partition(" ")[0] + " "
    later = [number for number, line in enumerate(lines, 1) if line.startswith(level)]
    last = next((number for number in later if number > first), len(lines) + 1)
    found = [block for block in blocks(path) if first < block.line < last]
    assert found, f"{page}: no steps below {heading!r}"
    return found


async def follow(steps: Sequence[Block], folder: Path) -> None:
    async with PythonSession(folder, ENVIRONMENT) as python:
        for block in steps:
            if block.language == PYTHON:
                await python.run(block)
            if block.language not in SHELL:
                continue
            for command in commands(block):
                if not command.text.startswith(MAKE):
                    await asyncio.to_thread(
                        run_command,
                        command,
                        directory=folder,
                        environment=ENVIRONMENT,
                        answers=ANSWERS,
                    )


@pytest.mark.long
@pytest.mark.parametrize(
    ("page", "heading"),
    [
        ("README.md", "## Try it"),
        ("docs/index.md", "## Try it"),
        ("docs/roles.md", "## Tutorial: a reader, a writer, a tenant"),
    ],
)
def test_steps_work_as_written(page: str, heading: str, tmp_path: Path):
    program = Program(
        name="make run",
        # The environment stands; what would fill it again cannot be reached from this network.
        argv=("make", "-o", ".venv/.ready", "run", f"RUN_ARGS=--data-dir {tmp_path / 'data'}"),
        environment=ENVIRONMENT,
        directory=CHECKOUT,
        ready=http_ok(9091, "/readyz"),
        start_seconds=60,
    )

    async def run() -> None:
        lines: list[str] = []
        stack = Process(program, lambda _name, line: lines.append(line))
        await stack.start()
        try:
            await stack.wait_ready()
            await follow(section(page, heading), tmp_path)
        except BaseException as error:
            error.add_note("\n".join(lines))
            raise
        finally:
            await stack.stop()

    run_in_own_network(run)
