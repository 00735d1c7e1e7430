"""Ports for the servers of a benchmark."""

import contextlib
import socket

from deploy.local.ports import LOOPBACK


def free_ports(count: int) -> tuple[int, ...]:
    """Ports that nobody listens on at this moment."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return tuple(each.getsockname()[1] for each in sockets)
