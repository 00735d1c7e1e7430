"""A forked child process, and the two pipes between it and its parent."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from vecguard.lifecycle import EXIT_BUG, STOP_SIGNALS


class StopPipe:
    """Stops any number of children, by closing a pipe that only the parent holds open.

    A pipe and no signal: it also closes when the parent is gone, for any reason. And it cannot be
    sent twice, while a terminal or systemd sends its signals to the parent and the children.
    """

    def __init__(self) -> None:
        #: Reaches its end when the children must stop.
        self.reading, self._writing = os.pipe()

    def stop(self) -> None:
        """Stops the children. In a child: closes its copy, so that only the parent can stop."""
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1

    def close(self) -> None:
        """Stops the children, and closes the reading end."""
        self.stop()
        os.close(self.reading)


@dataclass(frozen=True, slots=True)
class ParentPipes:
    """The child's ends of the pipes.

    Attributes:
        stop: reaches its end when the child must stop.
        ready: takes a byte when the child serves; it closes when the child ends.
    """

    stop: int
    ready: int

    def serving(self) -> None:
        """Tells the parent that this child serves."""
        try:
            os.write(self.ready, b"1")
        except BrokenPipeError:
            # The parent is gone, which `stop` shows as well.
            return


@dataclass(frozen=True, slots=True)
class Child:
    """A child process, for its parent.

    Attributes:
        pid: its process id.
        news: readable when the child serves, and at its end when the child has ended.
    """

    pid: int
    news: int

    def reads_serving(self) -> bool:
        """Reads the readable `news`. Returns True if the child serves, False if it has ended."""
        return bool(os.read(self.news, 1))

    def reap(self) -> int:
        """Returns the exit code of a child that has ended; -N if signal N ended it."""
        os.close(self.news)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        """Sends SIGKILL, unless the child was reaped already."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def fork(body: Callable[[ParentPipes], int], stop: StopPipe, leave: Callable[[], None]) -> Child:
    """Starts a child that runs `body` and exits with the code that it returns.

    The process must have one thread and no event loop, because a fork copies neither properly.

    Args:
        body: runs in the child; it unblocks the stop signals when it can handle them.
        stop: stops the child.
        leave: closes, in the child, what only the parent may hold.

    Raises:
        OSError: the system allows no further process.
    """
    news, ready = os.pipe()
    # Buffered output would be written by both.
    sys.stdout.flush()
    sys.stderr.flush()
    # The parent's handlers must not run in the child.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            os.close(news)
            _become_child(lambda: body(ParentPipes(stop.reading, ready)), leave)
    except OSError:
        os.close(news)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.close(ready)
    return Child(pid, news)


def _become_child(run: Callable[[], int], leave: Callable[[], None]) -> NoReturn:
    code = EXIT_BUG  # if not even the report of an error works
    try:
        signal.set_wakeup_fd(-1)
        # A terminal's Ctrl-C reaches all processes; the parent stops the child by the pipe instead.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        leave()
        code = run()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        # An exception would continue in the code of the parent, which the fork has copied.
        os._exit(code)
