"""Why a connection could not be made, in the system's own words."""

import os

import aiohttp


def reason_of(error: Exception) -> str:
    """The reason alone; asyncio's and aiohttp's texts repeat the address and more."""
    while isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if not isinstance(error, OSError):
        return str(error) or type(error).__name__
    # A failed look-up of a name has a negative number and a text of its own.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error.strerror or error) or type(error).__name__
