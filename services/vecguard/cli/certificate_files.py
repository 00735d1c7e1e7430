"""Groups certificate files into sets, as an operator or a directory names them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vecguard.tls.certificate_set import CLIENT_PREFIX
from vecguard.tls.material import PemFile, TlsFiles

#: Only Vecguard's own services and etcd see certificates of these names, never clients.
_ROOT_COORD = "internal-"
_INSIDE = (_ROOT_COORD, "etcd-")


@dataclass(frozen=True, slots=True)
class FileSet:
    """Files that belong together. `name` is the host name that clients connect to."""

    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None
    name: str | None = None

    @property
    def title(self) -> str:
        """The main file of the set."""
        return str(self.certificate or self.authorities or self.key)

    @property
    def is_pair(self) -> bool:
        """Whether the set has a certificate and a key."""
        return self.certificate is not None and self.key is not None

    @property
    def tls_files(self) -> TlsFiles:
        """Returns the files as a service takes them: certificate and key together, or neither."""
        return TlsFiles(
            PemFile(self.certificate, "certificate") if self.certificate and self.key else None,
            PemFile(self.key, "key") if self.certificate and self.key else None,
            PemFile(self.authorities, "CA file") if self.authorities else None,
        )

    @property
    def is_for_server(self) -> bool | None:
        """Whether the file's name or the host name means a server; None if neither says so."""
        if self.name is not None:
            return True
        if self.certificate is None:
            return None
        stem = self.certificate.stem
        if is_of_client(self.certificate):
            return False
        return True if "server" in stem else False if "client" in stem else None

    @property
    def is_inside(self) -> bool:
        """Whether the file's name means a connection between the services."""
        return self.certificate is not None and self.certificate.stem.startswith(_INSIDE)

    @property
    def is_for_root_coord(self) -> bool:
        """Whether the file's name means root coord, which always requires a client certificate."""
        return self.certificate is not None and self.certificate.stem.startswith(_ROOT_COORD)


def sets_in(directory: Path) -> tuple[FileSet, ...]:
    """Returns the sets in a directory, by the names of `vecguard certs init` or cert-manager."""
    kubernetes = directory / "tls.crt"
    if kubernetes.exists():
        return (FileSet(kubernetes, directory / "tls.key", _if_there(directory / "ca.crt")),)
    authorities = [
        path
        for path in sorted(directory.glob("*ca.pem"))
        if path.is_file() and not is_of_client(path)
    ]
    leaves = [path for path in sorted(directory.glob("*.pem")) if path not in authorities]
    return (
        *(
            FileSet(key=_if_there(path.with_suffix(".key")), authorities=path)
            for path in authorities
        ),
        *(
            FileSet(path, path.with_suffix(".key"), _authority_of(path, authorities))
            for path in leaves
        ),
    )


def is_of_client(path: Path) -> bool:
    """Returns whether `certs client` gives a file this name; some clients' names end in "ca"."""
    return path.stem.startswith(CLIENT_PREFIX) and path.stem != f"{CLIENT_PREFIX}ca"


def _if_there(path: Path) -> Path | None:
    return path if path.exists() else None


def _authority_of(leaf: Path, authorities: Sequence[Path]) -> Path | None:
    """Returns the internal CA for connections between the services, otherwise the public CA."""
    prefix = "internal-" if leaf.stem.startswith(_INSIDE) else ""
    wanted = leaf.with_name(f"{prefix}ca.pem")
    return wanted if wanted in authorities else next(iter(authorities), None)
