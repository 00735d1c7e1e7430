"""Runs a program that ends when its parent does: `tether.py PARENT_PID SIGNAL PROGRAM [ARG...]`.

A supervisor that is killed with SIGKILL cannot stop its children. On Linux the kernel can:
the child requests SIGNAL for the end of its parent, and the request survives exec. A script of
its own keeps `preexec_fn`, which is unsafe beside threads, out of the supervisor. On other
systems the program runs without this, and outlives a killed supervisor.

Standard library only: it runs as `python -I -S`, to start in milliseconds.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Replaces this process by PROGRAM.

    Raises:
        SystemExit: the arguments are wrong, the parent is gone, or PROGRAM cannot be run.
    """
    if len(sys.argv) < 4:  # noqa: PLR2004  script, parent, signal, program
        sys.exit("usage: tether.py PARENT_PID SIGNAL PROGRAM [ARG...]")
    parent, signal_number, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    # A shell's background job ignores SIGINT, and so would every child.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal_number)
        if os.getppid() != parent:
            sys.exit("the supervisor ended before its child began")
    try:
        os.execvp(program[0], program)  # noqa: S606  no shell is the point
    except OSError as error:
        sys.exit(f"cannot run {program[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
