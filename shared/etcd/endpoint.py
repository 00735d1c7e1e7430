"""Where a member of etcd listens."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import ConfigurationError

_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host name or address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """Reads `host:port` or `[IPv6 address]:port`.

    Raises:
        ConfigurationError: the text has another form.
    """
    host, separator, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if (
        not separator
        or not host
        or "/" in host
        or (":" in host and not bracketed)
        or not (port.isascii() and port.isdigit())
        or not 0 < int(port) <= _HIGHEST_PORT
    ):
        raise ConfigurationError(
            f"etcd endpoint {text!r}: expected host:port, for example etcd-0.etcd:2379 "
            "or [::1]:2379 (no http:// before it)"
        )
    return Endpoint(host, int(port))


def parse_endpoints(texts: Sequence[str]) -> tuple[Endpoint, ...]:
    """Reads a list of endpoints; one given twice counts once.

    Raises:
        ConfigurationError: the list is empty or an endpoint is malformed.
    """
    endpoints = tuple(dict.fromkeys(parse_endpoint(text) for text in texts))
    if not endpoints:
        raise ConfigurationError("no etcd endpoint is given; expected a list such as etcd-0:2379")
    return endpoints
