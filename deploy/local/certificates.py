"""Makes the certificates of a local stack at its first start, and checks them at each start."""

import ssl
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from deploy.local.errors import LocalStackError
from deploy.local.ports import LOOPBACK
from vecguard.cli.certificate_check import Finding, check_set
from vecguard.cli.certificate_files import FileSet
from vecguard.cli.finding import Severity
from vecguard.config.security import TlsMode
from vecguard.errors import VecguardError
from vecguard.tls.certificate_set import (
    PROXY_NAME,
    ROOT_COORD_NAME,
    SetRequest,
    make_set,
    write_files,
)

#: The name in the public certificate, which clients on this machine expect.
SERVER_NAME = "localhost"


class LocalCertificates:
    """Holds a directory of `vecguard certs init`, and the settings that use its files.

    Attributes:
        directory: where the files are.
        mode: how clients reach the proxy; the connections between the services are
            always mutual.
        warnings: what the last `prepare` found that works but needs attention.
    """

    def __init__(self, directory: Path, mode: TlsMode) -> None:
        self.directory = directory
        self.mode = mode
        self.warnings: tuple[str, ...] = ()

    def prepare(self, now: datetime) -> None:
        """Makes the files if the directory has none, otherwise checks that they can be used.

        Raises:
            LocalStackError: files cannot be used; the text names each one and what to do.
        """
        if not self.directory.is_dir() or not any(self.directory.iterdir()):
            try:
                write_files(self.directory, make_set(SetRequest(), now))
            except VecguardError as error:
                raise LocalStackError(error.message) from error
        findings = [
            finding for files in self._sets() for finding in check_set(files, now.timestamp())
        ]
        wrong = [_described(each) for each in findings if each.result is Severity.WRONG]
        if wrong:
            raise LocalStackError(
                f"the certificates in {self.directory} cannot be used; renew them "
                f"(vecguard certs renew {self.directory}) "
                "or remove the directory to have new ones made:\n"
                + "\n".join(f"  {line}" for line in dict.fromkeys(wrong))
            )
        self.warnings = tuple(
            dict.fromkeys(_described(each) for each in findings if each.result is Severity.WARNING)
        )

    def root_coord_settings(self) -> dict[str, Any]:
        """Returns settings by which root coord requires certificates and shows its own to etcd."""
        return {
            "common": {"security": {"internaltlsEnabled": True}},
            "internaltls": {
                "serverPemPath": self._path("internal-server.pem"),
                "serverKeyPath": self._path("internal-server.key"),
                "caPemPath": self._path("internal-ca.pem"),
                "allowedNames": [PROXY_NAME],
            },
            "etcd": {
                "ssl": {
                    "enabled": True,
                    "tlsCert": self._path("etcd-client.pem"),
                    "tlsKey": self._path("etcd-client.key"),
                    "tlsCACert": self._path("internal-ca.pem"),
                }
            },
        }

    def proxy_settings(self) -> dict[str, Any]:
        """Returns settings by which a proxy speaks TLS to clients and to root coord."""
        public = {
            "serverPemPath": self._path("server.pem"),
            "serverKeyPath": self._path("server.key"),
        }
        if self.mode is TlsMode.MUTUAL:
            public["caPemPath"] = self._path("ca.pem")
        return {
            "common": {"security": {"tlsMode": int(self.mode), "internaltlsEnabled": True}},
            "tls": public,
            "internaltls": {
                "clientPemPath": self._path("internal-client.pem"),
                "clientKeyPath": self._path("internal-client.key"),
                "caPemPath": self._path("internal-ca.pem"),
                "sni": ROOT_COORD_NAME,
            },
        }

    def etcd_arguments(self) -> tuple[str, ...]:
        """Returns arguments by which etcd requires a client certificate of the internal CA."""
        files = {
            "--cert-file": self._path("etcd-server.pem"),
            "--key-file": self._path("etcd-server.key"),
            "--trusted-ca-file": self._path("internal-ca.pem"),
            "--peer-cert-file": self._path("etcd-server.pem"),
            "--peer-key-file": self._path("etcd-server.key"),
            "--peer-trusted-ca-file": self._path("internal-ca.pem"),
        }
        return (
            *(word for option in files.items() for word in option),
            *("--client-cert-auth", "--peer-client-cert-auth"),
        )

    def etcd_probe(self) -> ssl.SSLContext:
        """Returns the TLS context of the readiness probe of etcd, which uses HTTP/1 and no ALPN."""
        context = ssl.create_default_context(cafile=self._path("internal-ca.pem"))
        context.load_cert_chain(self._path("etcd-client.pem"), self._path("etcd-client.key"))
        return context

    def _sets(self) -> Iterator[FileSet]:
        for stem, authority, name in (
            ("server", "ca", SERVER_NAME),
            ("client", "ca", None),
            ("internal-server", "internal-ca", ROOT_COORD_NAME),
            ("internal-client", "internal-ca", None),
            ("etcd-server", "internal-ca", LOOPBACK),
            ("etcd-client", "internal-ca", None),
        ):
            yield FileSet(
                self.directory / f"{stem}.pem",
                self.directory / f"{stem}.key",
                self.directory / f"{authority}.pem",
                name,
            )

    def _path(self, name: str) -> str:
        return str(self.directory / name)


def _described(finding: Finding) -> str:
    advice = f" ({finding.advice})" if finding.advice else ""
    return f"{finding.file}: {finding.detail}{advice}"
