"""Addresses of the form host:port."""

from dataclasses import dataclass
from typing import Self

from shared.errors import ConfigurationError

_PORTS = range(1, 65536)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens. IPv6 hosts are written in brackets."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `host:port`. Raises ConfigurationError that shows the text and the form."""
        host, separator, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if bracketed:
            host = host[1:-1]
        elif ":" in host:
            host = ""
        if not (separator and host and port.isascii() and port.isdigit() and int(port) in _PORTS):
            raise ConfigurationError(f"{text!r} is not an address; write host:port or [ipv6]:port")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
