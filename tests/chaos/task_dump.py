"""SIGUSR1 makes a process print where each of its tasks waits: what a hang looks like inside."""

import asyncio
import signal
import sys
from types import FrameType


def install() -> None:
    """From now on SIGUSR1 prints instead of ending the process."""
    signal.signal(signal.SIGUSR1, _print_tasks)


def _print_tasks(_number: int, _frame: FrameType | None) -> None:
    # Not all_tasks(): a signal handler does not run inside a task.
    for task in list(asyncio.tasks._all_tasks):
        if task.done():
            continue
        print(f"task {task.get_name()}", file=sys.stderr)
        frames, awaited = [], task.get_coro()
        while awaited is not None:
            frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None)
            if frame is not None:
                frames.append(
                    f"  {frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}"
                )
            awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)
        print("\n".join(frames), file=sys.stderr, flush=True)
