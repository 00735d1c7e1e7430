"""Runs work in its own network, where every port is free and nothing else can be reached."""

import asyncio
import ctypes
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_SIOCSIFFLAGS = 0x8914  # linux/sockios.h
_IFF_UP = 1


def run_in_own_network(work: Callable[[], Coroutine[None, None, T]]) -> T:
    """Runs `work` in a thread whose network has only its own loopback, and returns its result.

    Threads and processes that it starts share this network. Skips the test where the kernel
    does not allow it.
    """
    with ThreadPoolExecutor(1) as alone:
        refused = alone.submit(_leave_network).result()
        if refused is not None:
            pytest.skip(f"a network namespace is needed: {refused}")
        return alone.submit(lambda: asyncio.run(work())).result()


def _leave_network() -> str | None:
    """Gives this thread a new network. Returns the reason if the kernel refuses it."""
    if sys.platform != "linux":
        return "only Linux has them"
    # Of this thread alone: the others stay where they are.
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        return os.strerror(ctypes.get_errno())
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))
    return None
