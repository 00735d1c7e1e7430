"""Provides standard streams that exist and whose writes do not fail.

A program prints its answer after it has done its work, so a terminal that is not UTF-8, a pipe
without a reader or a full disk must not end it in an error that denies the work. Characters
that the encoding lacks are replaced, and a failed write is remembered for the exit code.
"""

import codecs
import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_STANDARD_OUTPUT: Final = 1
_STANDARD_ERROR: Final = 2

#: The name of our codec error handler.
_REPLACE: Final = "vecguard.replace"
#: Replacements of the same width, so that tables stay aligned.
_PLAIN_SIGNS: Final = {"✓": "+", "✗": "x", "…": "."}


def prepare_streams() -> None:
    """Replaces `sys.stdout` and `sys.stderr`. Call it first in a program's `main`.

    A stream that is closed, `sys.stdin` too, becomes one to the null device, so that no socket
    gets its descriptor (libuv aborts when it is given one of the first three). A stream that a
    test has put in place stays as it is.
    """
    closed = _fill_descriptors()
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
    if sys.stdout is sys.__stdout__:
        sys.stdout = _opened(sys.stdout, _STANDARD_OUTPUT, closed)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _opened(sys.stderr, _STANDARD_ERROR, closed)


def take_output_failure() -> OSError | None:
    """Returns why text for `sys.stdout` was lost since the last call; None if no text was."""
    sys.stdout.flush()
    raw = getattr(sys.stdout.buffer, "raw", sys.stdout.buffer)
    if not isinstance(raw, _Descriptor):
        return None
    failure, raw.failure = raw.failure, None
    return failure


class _Descriptor(io.FileIO):
    """Writes to a descriptor and drops what it cannot write.

    Attributes:
        failure: the first error since it was last taken.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)
        self.failure: OSError | None = None

    def write(self, data: "ReadableBuffer", /) -> int:
        """Writes all bytes, whether or not the descriptor blocks."""
        content = memoryview(data).cast("B")
        written = 0
        while written < len(content):
            try:
                count = super().write(content[written:])
            except OSError as error:
                # The next write is tried again: a log continues once the disk has space.
                self.failure = self.failure or error
                break
            if count is None:  # the parent has made it non-blocking, and it is full
                select.select([], [self], [])
            written += count or 0
        return len(content)


def _fill_descriptors() -> set[int]:
    """Opens the null device for each closed one of the first three. Returns which were closed."""
    closed = set()
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # open() takes the lowest free number.
            closed.add(os.open(os.devnull, os.O_RDWR))
    return closed


def _opened(stream: TextIO | None, number: int, closed: set[int]) -> TextIO:
    raw = _Descriptor(number)
    if stream is None or number in closed:
        raw.failure = OSError(errno.EBADF, os.strerror(errno.EBADF))
        return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", _REPLACE)
    stream.flush()
    unbuffered = bool(getattr(stream, "write_through", False))  # python -u
    return io.TextIOWrapper(
        raw if unbuffered else io.BufferedWriter(raw),
        stream.encoding,
        _REPLACE,
        line_buffering=bool(getattr(stream, "line_buffering", False)),
        write_through=unbuffered,
    )


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """Handles a codec error: returns a plain sign if there is one, else a backslash escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(_PLAIN_SIGNS.get(char) or _escaped(char) for char in lost), error.end


def _escaped(char: str) -> str:
    return char.encode("ascii", "backslashreplace").decode()


codecs.register_error(_REPLACE, _replaced)
