"""Runs the real `vecguard` command: in this process, in its own, and at a person's terminal.

A process costs half a second. What its own process proves is proved a few times: that exit codes
arrive, that streams may be closed, that a terminal is asked.
"""

import asyncio
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.local.stack import CHECKOUT
from tests.e2e.stacks import clean_environment
from tests.support.program_here import Ended, run_here
from vecguard.cli.__main__ import main

_TIMEOUT_SECONDS = 60.0
# As it is installed, in the environment that runs the tests.
_COMMAND = str(Path(sys.executable).with_name("vecguard"))


def environment(**more: str) -> dict[str, str]:
    plain = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    return {**clean_environment(), **plain, **more}


async def vecguard(*arguments: object, stdin: str = "", **variables: str) -> Ended:
    """Runs the command in a thread of this process, without a terminal."""
    words = [str(each) for each in arguments]
    return await asyncio.to_thread(
        *(run_here, main, ["vecguard", *words]),
        environment=environment(**variables),
        stdin=stdin,
    )


async def vecguard_process(
    *arguments: object, stdin: str = "", stdout: int = subprocess.PIPE, **variables: str
) -> Ended:
    """Runs the command in its own process and session, without a terminal.

    `stdout` is another descriptor for its output.
    """
    words = [str(each) for each in arguments]
    return await asyncio.to_thread(_run, words, stdin, stdout, variables)


def _run(arguments: Sequence[str], stdin: str, stdout: int, variables: dict[str, str]) -> Ended:
    ended = subprocess.run(
        [_COMMAND, *arguments],
        input=stdin.encode(),
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environment(**variables),
        cwd=CHECKOUT,
        timeout=_TIMEOUT_SECONDS,
        start_new_session=True,
        check=False,
    )
    return Ended(ended.returncode, (ended.stdout or b"").decode(), ended.stderr.decode())


async def at_terminal(arguments: Sequence[object], answers: Sequence[tuple[str, str]]) -> Ended:
    """Runs the command on a terminal of its own; each answer is typed after its prompt.

    `err` is what the terminal showed.
    """
    return await asyncio.to_thread(_typed, [str(each) for each in arguments], answers)


def _typed(arguments: Sequence[str], answers: Sequence[tuple[str, str]]) -> Ended:
    person, terminal = os.openpty()
    try:
        process = subprocess.Popen(
            # The first terminal that a new session opens becomes its own.
            ["/bin/sh", "-c", 'exec "$@" <"$0" 2>"$0"', os.ttyname(terminal), _COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environment(),
            cwd=CHECKOUT,
            start_new_session=True,
        )
        try:
            shown = ""
            for prompt, answer in answers:
                shown += _shown_until(person, prompt)
                os.write(person, answer.encode() + b"\n")
            out, _ = process.communicate(timeout=_TIMEOUT_SECONDS)
        finally:
            process.kill()
            process.wait()
        os.close(terminal)
        terminal = -1
        return Ended(process.returncode, out.decode(), shown + _rest(person))
    finally:
        os.close(person)
        if terminal >= 0:
            os.close(terminal)


def _shown_until(person: int, prompt: str) -> str:
    shown, deadline = "", time.monotonic() + _TIMEOUT_SECONDS
    while prompt not in shown:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([person], [], [], left)[0]:
            raise AssertionError(f"no {prompt!r} on the terminal, only {shown!r}")
        shown += os.read(person, 4096).decode()
    return shown


def _rest(person: int) -> str:
    """What is left on a terminal that no process holds any more."""
    shown = b""
    while True:
        try:
            part = os.read(person, 4096)
        except OSError:  # Linux: EIO once the other end is closed
            part = b""
        if not part:
            return shown.decode()
        shown += part


def written(directory: Path, name: str, password: str) -> Path:
    """A file that holds a password, as a person writes it."""
    path = directory / name
    path.touch(mode=0o600)
    path.write_text(f"{password}\n")
    return path
