"""Lets the kernel notice that the machine at the other end of a connection is gone."""

import socket
from typing import Final

_IDLE_SECONDS: Final = 20
_INTERVAL_SECONDS: Final = 5
_PROBES: Final = 3
# The machine counts as gone if bytes are not acknowledged for this long.
_USER_TIMEOUT_MS: Final = 20_000


def keep_alive(connection: socket.socket) -> None:
    """Makes the connection fail within half a minute or so after its peer has vanished."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _IDLE_SECONDS),
        ("TCP_KEEPINTVL", _INTERVAL_SECONDS),
        ("TCP_KEEPCNT", _PROBES),
        ("TCP_USER_TIMEOUT", _USER_TIMEOUT_MS),
    ):
        option = getattr(socket, name, None)  # not every system has all of them
        if option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
