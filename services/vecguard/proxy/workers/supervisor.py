"""Keeps a fixed set of forked processes running, and stops them together.

It has one thread and no event loop, because it forks as long as it runs: a child must not inherit
a held lock or a selector. So it does nothing else; the operations port is a child as well.
"""

import gc
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

from vecguard.clock import Clock
from vecguard.errors import ConfigurationError, VecguardError
from vecguard.lifecycle import (
    EXIT_CLEAN,
    EXIT_CONFIGURATION,
    HANGUP_CHANGES_NOTHING,
    STOP_SIGNALS,
    handle_hangup,
)
from vecguard.observability.log import get_logger
from vecguard.proxy.workers.child import Child, ParentPipes, StopPipe, fork
from vecguard.proxy.workers.restarts import Restarts

_log = get_logger(__name__)

#: How long to wait for the end of a killed child.
_KILL_SECONDS: Final = 5.0


class ChildFailedError(VecguardError):
    """A child could not start."""

    reason = "child_failed"


class ChildMisconfiguredError(ConfigurationError):
    """A child could not start with this configuration."""


@dataclass(frozen=True, slots=True)
class Role:
    """The task of one child.

    Attributes:
        name: its name in the log.
        body: runs in the child; returns the exit code.
        goes_first: whether the children after it start only when it serves. If it ends before
            that, all end, so that an error that would stop each of them is reported once.
        outlasts: whether it is stopped only after the children that do not outlast are gone.
    """

    name: str
    body: Callable[[ParentPipes], int]
    goes_first: bool = False
    outlasts: bool = False


@dataclass(slots=True)
class _Post:
    """A role with its current child."""

    role: Role
    child: Child | None = None
    started: float = 0.0
    due: float = 0.0
    restarts: Restarts = field(default_factory=Restarts)
    has_served: bool = False


class Supervisor:
    """Starts the roles in their order, replaces children that end, and stops all at the end.

    A first child that cannot start ends the supervisor, like a single process that cannot start.
    After it has served, a child that ends is replaced with a back-off: a half-written
    certificate file must not end the workers that serve with the last good one.
    """

    def __init__(self, roles: Sequence[Role], *, clock: Clock, stop_seconds: float) -> None:
        """Takes the roles; nothing is started before `run`.

        Args:
            roles: one child is started for each.
            clock: for the back-off and the deadline of a stop.
            stop_seconds: how long children have to stop before they are killed.
        """
        self._posts = [_Post(role) for role in roles]
        self._clock = clock
        self._stop_seconds = stop_seconds
        self._received: signal.Signals | None = None
        self._hung_up = False
        self._stopping = False
        self._wakeup, self._waker = socket.socketpair()
        self._stop_first, self._stop_last = StopPipe(), StopPipe()

    def run(self) -> None:
        """Runs until the process is stopped. To be called once, on the main thread.

        Raises:
            ChildMisconfiguredError: a first child could not use the configuration.
            ChildFailedError: a first child has ended before it served, for another reason.
        """
        with ExitStack() as stack:
            stack.callback(self._close)
            stack.enter_context(self._handled_signals())
            # The collector does not write to frozen objects, so that their pages stay shared.
            gc.collect()
            gc.freeze()
            _log.info("supervising", children=[post.role.name for post in self._posts])
            try:
                while self._received is None:
                    self._start_due()
                    self._hear(self._seconds_until_due())
                    if self._hung_up:
                        self._hung_up = False
                        _log.info(HANGUP_CHANGES_NOTHING)
                _log.info("stopping; a second signal stops at once", signal=self._received.name)
            finally:
                self._stop(self._stop_first, outlasts=False)
                self._stop(self._stop_last, outlasts=True)

    def _start_due(self) -> None:
        for post in self._awaited():
            if post.child is None and post.due <= self._clock():
                self._start(post)

    def _awaited(self) -> Iterator[_Post]:
        """Yields the roles that must run now: none after a first child that has not yet served."""
        for post in self._posts:
            yield post
            if post.role.goes_first and not post.has_served:
                return

    def _start(self, post: _Post) -> None:
        post.started = self._clock()
        pipe = self._stop_last if post.role.outlasts else self._stop_first
        try:
            post.child = fork(post.role.body, pipe, self._leave_to_parent)
        except OSError as error:
            self._missing(post, f"cannot be started ({error.strerror})", ChildFailedError)

    def _seconds_until_due(self) -> float | None:
        dues = [post.due for post in self._awaited() if post.child is None]
        return max(0.0, min(dues) - self._clock()) if dues else None

    def _hear(self, timeout_seconds: float | None) -> None:
        """Waits for news of a child or a signal, at most this long."""
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        by_news = {post.child.news: post for post in self._posts if post.child is not None}
        for news in by_news:
            poll.register(news, select.POLLIN)
        for descriptor, _ in poll.poll(None if timeout_seconds is None else timeout_seconds * 1000):
            post = by_news.get(descriptor)
            if post is None:
                self._wakeup.recv(4096)
            elif post.child is not None:
                if post.child.reads_serving():
                    post.has_served = True
                else:
                    self._ended(post, post.child.reap())

    def _ended(self, post: _Post, code: int) -> None:
        post.child = None
        if self._stopping or self._received is not None:
            if code != EXIT_CLEAN:
                _log.warning(f"{post.role.name} did not stop cleanly", how=_how(code))
            return
        # With exit code 0, a SIGTERM to this child alone has ended it: replaced, but no failure.
        error = ChildMisconfiguredError if code == EXIT_CONFIGURATION else ChildFailedError
        self._missing(post, f"has ended ({_how(code)})", None if code == EXIT_CLEAN else error)

    def _missing(
        self,
        post: _Post,
        what: str,
        error: type[ChildFailedError | ChildMisconfiguredError] | None,
    ) -> None:
        """Schedules a replacement, or raises if a first child has not served."""
        if error is not None and post.role.goes_first and not post.has_served:
            raise error(f"{post.role.name} {what} before it served")
        delay = post.restarts.delay(self._clock() - post.started)
        post.due = self._clock() + delay
        _log.error(f"{post.role.name} {what} and is replaced", delay_seconds=delay)

    def _stop(self, pipe: StopPipe, *, outlasts: bool) -> None:
        """Stops some children and waits for their end; kills them after `stop_seconds`."""
        self._stopping = True
        pipe.stop()
        posts = [post for post in self._posts if post.role.outlasts is outlasts]
        if self._all_end(posts, self._stop_seconds):
            return
        for post in posts:
            if post.child is not None:
                _log.error(f"{post.role.name} does not stop and is killed")
                post.child.kill()
        self._all_end(posts, _KILL_SECONDS)

    def _all_end(self, posts: Sequence[_Post], seconds: float) -> bool:
        deadline = self._clock() + seconds
        while any(post.child is not None for post in posts):
            left = deadline - self._clock()
            if left <= 0:
                return False
            self._hear(left)
        return True

    @contextmanager
    def _handled_signals(self) -> Iterator[None]:
        self._waker.setblocking(False)
        wakeup = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        previous = {number: signal.getsignal(number) for number in (*STOP_SIGNALS, signal.SIGHUP)}
        for number in STOP_SIGNALS:
            signal.signal(number, self._receive)
        handle_hangup(self._hang_up)
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self._received is None:
            self._received = signal.Signals(number)
            return
        # The second signal: kills all children and exits at once.
        for post in self._posts:
            if post.child is not None:
                post.child.kill()
        os._exit(128 + number)

    def _hang_up(self, _number: int, _frame: FrameType | None) -> None:
        self._hung_up = True

    def _leave_to_parent(self) -> None:
        """Closes, in a child, the descriptors by which the others notice the end of the parent."""
        self._wakeup.close()
        self._waker.close()
        self._stop_first.stop()
        self._stop_last.stop()
        for post in self._posts:
            if post.child is not None:
                os.close(post.child.news)

    def _close(self) -> None:
        self._wakeup.close()
        self._waker.close()
        self._stop_first.close()
        self._stop_last.close()


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
