"""Says in the system's words why a connection failed."""

import os

import aiohttp


def reason_of(error: Exception) -> str:
    """Returns the reason alone; the texts of asyncio and aiohttp repeat the address and more."""
    while isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if not isinstance(error, OSError):
        return str(error) or type(error).__name__
    # A failed name look-up has a negative number and its own text.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error.strerror or error) or type(error).__name__
