"""Writes lines in a thread of its own, so that a slow disk does not delay calls."""

import fcntl
import os
import queue
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from vecguard.errors import ConfigurationError
from vecguard.observability.log import get_logger

log = get_logger(__name__)

_STANDARD_OUTPUT: Final = 1
_MODE: Final = stat.S_IRUSR | stat.S_IWUSR
# The shortest time between two warnings about a full disk.
_COMPLAINT_SECONDS: Final = 60.0
# How long `close` waits for the lines that are still to be written.
_CLOSE_SECONDS: Final = 5.0
# Proxies hold the lock for one line. Writing without it can mix two lines at worst, but waiting
# longer for a process that keeps it would stop the log.
_LOCK_SECONDS: Final = 0.1
_LOCK_PAUSE_SECONDS: Final = 0.005


class Target(Protocol):
    """A destination of lines."""

    def write(self, line: bytes) -> None:
        """Writes one line with its newline. Raises OSError."""
        ...

    def close(self) -> None: ...


class _Appender:
    """Writes lines to a descriptor, and ends a line that was written in part before.

    A full disk or a crash can leave a part of a line. Without the missing newline the next line
    would continue it, and a reader could parse neither.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_torn = False
        # Reads the file's end; -1 where that is not possible, as with a pipe.
        self._reader = -1
        with suppress(OSError):  # the process may write the file and not read it
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                self._reader = os.open(f"/dev/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)

    def append(self, line: bytes) -> None:
        """Writes one line with its newline. Raises OSError; a part may have been written."""
        if self._reader >= 0:
            self._is_torn = self._ends_within_line()
        data = b"\n" + line if self._is_torn else line
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        finally:
            if written:
                self._is_torn = data[written - 1 : written] != b"\n"

    def close(self) -> None:
        """Closes its own descriptor; the given one stays open."""
        if self._reader >= 0:
            os.close(self._reader)
            self._reader = -1

    def _ends_within_line(self) -> bool:
        size = os.fstat(self._reader).st_size
        return size > 0 and os.pread(self._reader, 1, size - 1) not in {b"\n", b""}


class StandardOutput:
    """The process's standard output."""

    def __init__(self) -> None:
        self._appender = _Appender(_STANDARD_OUTPUT)

    def write(self, line: bytes) -> None:
        self._appender.append(line)

    def close(self) -> None:
        """Leaves the standard output open."""
        self._appender.close()


class RotatedFile:
    """Appends to a file, and creates it again after it was moved or removed.

    Several processes may write to it: each locks it (flock) for one line.
    """

    def __init__(self, path: str) -> None:
        """Opens the file. Raises ConfigurationError if it cannot be opened."""
        self._path = Path(path)
        self._descriptor = -1
        self._identity = (0, 0)
        self._patience_seconds = _LOCK_SECONDS
        self._appender: _Appender | None = None
        try:
            self._open()
        except OSError as error:
            raise ConfigurationError(
                f"the audit log {path} cannot be written ({error.strerror}); "
                "set audit.output to a file that can be written, or to stdout"
            ) from error

    def write(self, line: bytes) -> None:
        appender = self._appender
        if appender is None or not self._is_current():
            appender = self._open()
        with self._locked():
            appender.append(line)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Locks the file, or continues without the lock if another process keeps it."""
        is_locked = _lock(self._descriptor, self._patience_seconds)
        # Waits only once for a lock that is kept for long, or each line would wait.
        self._patience_seconds = 0.0 if is_locked is False else _LOCK_SECONDS
        try:
            yield
        finally:
            if is_locked:
                with suppress(OSError):
                    fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        appender, self._appender = self._appender, None
        if appender is not None:
            appender.close()
            os.close(self._descriptor)

    def _is_current(self) -> bool:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def _open(self) -> _Appender:
        self.close()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, _MODE)
        found = os.fstat(self._descriptor)
        self._identity = (found.st_dev, found.st_ino)
        self._appender = _Appender(self._descriptor)
        return self._appender


class LineWriter:
    """Queues lines without blocking; drops and counts the lines for which the target is too slow.

    Attributes:
        written: how many lines the target has taken.
        dropped: how many lines were lost.
    """

    def __init__(self, target: Target, *, limit: int, about_dropped: Callable[[int], str]) -> None:
        """Starts the thread.

        Args:
            target: where the lines go.
            limit: the maximum number of lines that wait.
            about_dropped: returns the line that reports so many dropped lines.
        """
        self._target = target
        self._queue: queue.Queue[str | None] = queue.Queue(limit)
        self._about_dropped = about_dropped
        self._lock = threading.Lock()
        self._unreported = 0
        self._complained_at = -_COMPLAINT_SECONDS
        self.written = 0
        self.dropped = 0
        # A daemon, because standard output may be a pipe that is never read again.
        self._thread = threading.Thread(target=self._write_lines, name="audit", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Queues a line, or drops it if the queue is full."""
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self._drop(1)

    def close(self) -> None:
        """Blocks until the waiting lines are written, a few seconds at most."""
        deadline = time.monotonic() + _CLOSE_SECONDS
        try:
            self._queue.put(None, timeout=_CLOSE_SECONDS)
        except queue.Full:
            return
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _write_lines(self) -> None:
        while (line := self._queue.get()) is not None:
            self._report_dropped()
            if not self._written(line):
                self._drop(1)
        self._report_dropped()
        self._target.close()

    def _report_dropped(self) -> None:
        with self._lock:
            unreported, self._unreported = self._unreported, 0
        if unreported and not self._written(self._about_dropped(unreported)):
            with self._lock:
                self._unreported += unreported

    def _written(self, line: str) -> bool:
        try:
            self._target.write(line.encode() + b"\n")
        except OSError as error:
            now = time.monotonic()
            if now - self._complained_at >= _COMPLAINT_SECONDS:
                self._complained_at = now
                log.warning("audit_log_not_written", cause=error.strerror, dropped=self.dropped + 1)
            return False
        self.written += 1
        return True

    def _drop(self, count: int) -> None:
        with self._lock:
            self.dropped += count
            self._unreported += count


def _lock(descriptor: int, seconds: float) -> bool | None:
    """Takes the lock that keeps other proxies from writing to the file.

    Waits for `seconds` at most. Returns whether it was taken; None if the file system has no
    locks.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOCK_PAUSE_SECONDS)
        except OSError:
            return None
        else:
            return True
