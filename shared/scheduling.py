"""Which thread gets a core first, as far as the operating system can be told."""

import ctypes
import os
import platform
import sys
import threading
from contextlib import suppress
from typing import Final

_LEAST_URGENT: Final = 19
# sched_setattr(2), for which the C library has no function; by machine.
_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}
# Threads that are made later do not inherit it.
_RESET_ON_FORK: Final = 1
_SLICE_NS: Final = 100_000


class _Attributes(ctypes.Structure):
    """struct sched_attr of Linux, in its first version."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


def step_back(niceness: int) -> None:
    """Lets every other thread of the machine go before this one, where that can be said."""
    if sys.platform == "linux":
        with suppress(OSError):
            thread = threading.get_native_id()
            own = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, min(_LEAST_URGENT, own + niceness))


def wake_promptly() -> bool:
    """Lets this thread interrupt one that computes as soon as it wakes; whether that was said.

    Since Linux 6.12 a thread may ask for shorter slices than others, and is then not made to
    wait for the end of theirs. Its share of the core stays the same.
    """
    number = _SCHED_SETATTR.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return False
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    attributes = _Attributes(ctypes.sizeof(_Attributes), os.SCHED_OTHER, _RESET_ON_FORK, own, 0, _SLICE_NS)
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.syscall(number, 0, ctypes.byref(attributes), 0) == 0
