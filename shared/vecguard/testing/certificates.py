"""Makes new certificates for each stack; they exist as long as it does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from vecguard.config.security import TlsMode
from vecguard.secret import Secret
from vecguard.tls.certificate_set import (
    LOOPBACK_NAMES,
    PROXY_NAME,
    ROOT_COORD_NAME,
    SetFile,
    SetRequest,
    make_set,
    write_files,
)

#: Where the containers find their files.
_INSIDE = "/etc/vecguard/certs"
_CLIENT_FILES = ("ca.pem", "client.pem", "client.key")
_ROOT_COORD_FILES = (
    *("internal-server.pem", "internal-server.key", "internal-ca.pem"),
    *("etcd-client.pem", "etcd-client.key"),
)
_PROXY_FILES = (
    *("server.pem", "server.key", "ca.pem"),
    *("internal-client.pem", "internal-client.key", "internal-ca.pem"),
)
_ETCD_FILES = ("etcd-server.pem", "etcd-server.key", "internal-ca.pem")
# Longer than the time before the end at which a service warns.
_DAYS = 90


@dataclass(frozen=True, slots=True)
class ClientFiles:
    """The files that a client needs to connect.

    Attributes:
        ca: the file with the CA that signed the proxies' certificate (PEM).
        certificate: the file with a client's certificate (PEM), required in mutual TLS.
        key: the file with its key (PEM).
        server_name: a name in the proxies' certificate, whatever the client dials.
    """

    ca: Path
    certificate: Path
    key: Path
    server_name: str = "localhost"


class StackCertificates:
    """Makes two CAs and certificates for all ends of connections, and assigns them to the parts.

    The connections inside the stack are always mutual.
    """

    def __init__(self, mode: TlsMode, names: Sequence[str], now: datetime) -> None:
        """Makes all certificates, in memory.

        Args:
            mode: how clients reach the proxies.
            names: the names that clients connect to, in addition to the loopback: containers, the
                engine's host.
            now: when the certificates begin.
        """
        self.mode = mode
        request = SetRequest(
            server_names=(*LOOPBACK_NAMES, *names),
            internal_names=names,
            days=_DAYS,
        )
        self._files = {file.name: file for file in make_set(request, now)}

    def write_for_clients(self, directory: Path) -> ClientFiles:
        """Writes the files that clients need into this directory."""
        write_files(directory, [self._files[name] for name in _CLIENT_FILES])
        ca, certificate, key = (directory / name for name in _CLIENT_FILES)
        return ClientFiles(ca, certificate, key)

    def for_root_coord(self) -> Mapping[str, bytes]:
        """Returns the files of a root coord, by their paths in its container."""
        return self._contents(_ROOT_COORD_FILES)

    def for_proxy(self) -> Mapping[str, bytes]:
        """Returns the files of a proxy, by their paths in its container."""
        return self._contents(_PROXY_FILES)

    def for_etcd(self) -> Mapping[str, bytes]:
        """Returns the files of etcd, by their paths in its container."""
        return self._contents(_ETCD_FILES)

    def root_coord_settings(self) -> dict[str, Any]:
        """Returns settings by which root coord requires certificates and shows its own to etcd."""
        return {
            "common": {"security": {"internaltlsEnabled": True}},
            "internaltls": {
                "serverPemPath": _inside("internal-server.pem"),
                "serverKeyPath": _inside("internal-server.key"),
                "caPemPath": _inside("internal-ca.pem"),
                "allowedNames": [PROXY_NAME],
            },
            "etcd": {
                "ssl": {
                    "enabled": True,
                    "tlsCert": _inside("etcd-client.pem"),
                    "tlsKey": _inside("etcd-client.key"),
                    "tlsCACert": _inside("internal-ca.pem"),
                }
            },
        }

    def proxy_settings(self) -> dict[str, Any]:
        """Returns settings by which a proxy speaks TLS to clients and to root coord."""
        public = {
            "serverPemPath": _inside("server.pem"),
            "serverKeyPath": _inside("server.key"),
        }
        if self.mode is TlsMode.MUTUAL:
            public["caPemPath"] = _inside("ca.pem")
        return {
            "common": {"security": {"tlsMode": int(self.mode), "internaltlsEnabled": True}},
            "tls": public,
            "internaltls": {
                "clientPemPath": _inside("internal-client.pem"),
                "clientKeyPath": _inside("internal-client.key"),
                "caPemPath": _inside("internal-ca.pem"),
                "sni": ROOT_COORD_NAME,
            },
        }

    def etcd_arguments(self) -> tuple[str, ...]:
        """Returns arguments by which etcd requires a client certificate of the internal CA."""
        return (
            *("--cert-file", _inside("etcd-server.pem")),
            *("--key-file", _inside("etcd-server.key")),
            *("--trusted-ca-file", _inside("internal-ca.pem")),
            "--client-cert-auth",
        )

    def _contents(self, names: Sequence[str]) -> dict[str, bytes]:
        return {_inside(name): _content(self._files[name]) for name in names}


def _inside(name: str) -> str:
    return f"{_INSIDE}/{name}"


def _content(file: SetFile) -> bytes:
    return file.content.reveal() if isinstance(file.content, Secret) else file.content
