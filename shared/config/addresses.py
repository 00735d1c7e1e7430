"""Network addresses as they are written in a configuration: `host:port`."""

from typing import Final

_MAX_PORT: Final = 65535


def split_address(address: str) -> tuple[str, int]:
    """Take `host:port` or `[ipv6]:port` apart.

    Raises:
        ValueError: it is something else; the port must be from 1 to 65535.
    """
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address stands in brackets, and a scheme is not allowed")
    if not colon or not host.strip() or not host.isprintable() or set(host) & set(" /[],@"):
        raise ValueError("not of the form host:port")
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= _MAX_PORT):
        raise ValueError("the port must be a number from 1 to 65535")
    return host, int(port)


def join_address(host: str, port: int) -> str:
    """The reverse of `split_address`: an IPv6 host gets its brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
