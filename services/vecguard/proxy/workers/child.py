"""One forked process, and the two pipes that tie it to its parent."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from vecguard.lifecycle import EXIT_BUG, STOP_SIGNALS


class StopWord:
    """Tells any number of children to stop, by the end of a pipe that only the parent writes.

    It is said too when the parent is gone, however it ended: that is why it is no signal.
    Another reason is that it cannot be said twice, while a terminal or systemd sends its
    signals to parent and children alike.
    """

    def __init__(self) -> None:
        #: Comes to its end when the word is said.
        self.reading, self._writing = os.pipe()

    def say(self) -> None:
        """Say it. In a child: forget how to, so that only the parent can."""
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1

    def close(self) -> None:
        """Say it, and listen no more."""
        self.say()
        os.close(self.reading)


@dataclass(frozen=True, slots=True)
class Tether:
    """The child's ends of the pipes.

    Attributes:
        stop: comes to its end when the child is to stop.
        ready: takes a byte when the child serves; the parent sees it close with the child.
    """

    stop: int
    ready: int

    def serving(self) -> None:
        """Tell the parent that this child serves."""
        try:
            os.write(self.ready, b"1")
        except BrokenPipeError:
            # The parent is gone; `stop` tells so as well.
            return


@dataclass(frozen=True, slots=True)
class Child:
    """A child as its parent sees it.

    Attributes:
        pid: its process.
        news: readable when it serves, and at its end when the child has ended.
    """

    pid: int
    news: int

    def heard_serving(self) -> bool:
        """What the readable `news` said: True if it serves, False if it has ended."""
        return bool(os.read(self.news, 1))

    def reap(self) -> int:
        """The exit code of a child that has ended; -N if signal N ended it."""
        os.close(self.news)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        """SIGKILL; nothing happens to one that was just reaped."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def fork(body: Callable[[Tether], int], stop: StopWord, leave: Callable[[], None]) -> Child:
    """Start a child that runs `body` and exits with the code that it returns.

    Only to be called while the process has one thread and no event loop: nothing else
    survives a fork whole.

    Args:
        body: what the child does; it unblocks the stop signals when it can take them.
        stop: what tells it to stop.
        leave: closes, in the child, what only the parent may hold.

    Raises:
        OSError: the system has no room for another process.
    """
    news, ready = os.pipe()
    # What is buffered now would be written by both.
    sys.stdout.flush()
    sys.stderr.flush()
    # The parent's handlers must not run in the child.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            os.close(news)
            _become_child(lambda: body(Tether(stop.reading, ready)), leave)
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
        # A terminal's Ctrl-C reaches everybody; the parent says the word instead.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        leave()
        code = run()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        # An exception would go up the stack that the parent is in the middle of.
        os._exit(code)
