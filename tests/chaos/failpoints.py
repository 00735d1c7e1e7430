"""Places in root coord at which a test can stop or kill the process.

The product knows nothing of them: `install` wraps its methods, in a process that was
started as `python -m tests.chaos.root_coord`. A point acts when a file of its name lies in
the directory that VECGUARD_FAILPOINT names; the file holds the action and is removed when
the point is reached, so that it acts once.
"""

import asyncio
import functools
import os
import signal
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

from vecguard.root_coord.changes import Changes
from vecguard.root_coord.session_hub import SessionHub
from vecguard.root_coord.store.etcd import EtcdCredentialStore
from vecguard.root_coord.store.guarded_writes import GuardedWrites
from vecguard.root_coord.store.policy_reads import PolicyReads

VARIABLE = "VECGUARD_FAILPOINT"
# What was written to a socket before this is over has left the process.
_SENDING_SECONDS = 0.02


class Point(StrEnum):
    """The steps of a change, in their order."""

    BEFORE_WRITE = "before-write"
    AFTER_WRITE = "after-write"
    BEFORE_NOTICES = "before-notices"
    AFTER_NOTICES = "after-notices"
    BEFORE_ANSWER = "before-answer"


class Action(StrEnum):
    """What happens at a point."""

    KILL = "kill"
    #: SIGSTOP, until SIGCONT.
    STOP = "stop"


#: A file of this name delays every read of a credential or of roles, after etcd has answered.
SLOW_READS = "slow-reads"
_SLOW_READ_SECONDS = 0.15


class FailpointDirectory:
    """The directory of one process's armed points."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def arm(self, point: Point, action: Action = Action.KILL) -> None:
        """The next change that reaches the point sets it off."""
        pending = self._directory / f".{point}"
        pending.write_text(action)
        pending.rename(self._directory / point)

    def disarm(self) -> None:
        """Nothing is set off any more."""
        for each in self._directory.iterdir():
            each.unlink(missing_ok=True)

    def slow_reads(self, *, on: bool) -> None:
        """Whether reads of credentials and roles dawdle on their way back to the proxy."""
        path = self._directory / SLOW_READS
        if on:
            path.touch()
        else:
            path.unlink(missing_ok=True)

    def reached(self, point: Point) -> None:
        """Called at the point, in the process concerned."""
        path = self._directory / point
        if not path.exists():
            return
        action = path.read_text()
        path.unlink()
        os.kill(os.getpid(), signal.SIGKILL if action == Action.KILL else signal.SIGSTOP)

    def reads_are_slow(self) -> bool:
        return (self._directory / SLOW_READS).exists()


def install(failpoint_directory: FailpointDirectory) -> None:
    """Puts the points into this process's root coord."""
    _around(
        GuardedWrites,
        "apply",
        before=lambda: failpoint_directory.reached(Point.BEFORE_WRITE),
        after=lambda: failpoint_directory.reached(Point.AFTER_WRITE),
    )
    _around(
        SessionHub, "invalidate", before=lambda: failpoint_directory.reached(Point.BEFORE_NOTICES)
    )
    _around(
        Changes,
        "run",
        after=lambda: failpoint_directory.reached(Point.BEFORE_ANSWER),
    )

    async def when_sent() -> None:
        if (failpoint_directory._directory / Point.AFTER_NOTICES).exists():
            await asyncio.sleep(_SENDING_SECONDS)
            failpoint_directory.reached(Point.AFTER_NOTICES)

    async def dawdle() -> None:
        if failpoint_directory.reads_are_slow():
            await asyncio.sleep(_SLOW_READ_SECONDS)

    _around(SessionHub, "_settle", before=when_sent)
    _around(EtcdCredentialStore, "get", after=dawdle)
    _around(PolicyReads, "get_roles", after=dawdle)


def _around(
    owner: type,
    name: str,
    *,
    before: Callable[[], Awaitable[None] | None] = lambda: None,
    after: Callable[[], Awaitable[None] | None] = lambda: None,
) -> None:
    original = getattr(owner, name)

    async def call(step: Callable[[], Awaitable[None] | None]) -> None:
        waiting = step()
        if waiting is not None:
            await waiting

    @functools.wraps(original)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        await call(before)
        result = await original(*args, **kwargs)
        await call(after)
        return result

    setattr(owner, name, wrapped)
