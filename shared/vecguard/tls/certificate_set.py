"""Makes all certificates of an installation at once, and writes them safely.

There are two CAs on purpose. With one, a client with a certificate for the public port could
open a session with root coord, or read password hashes from etcd.
"""

import os
import secrets
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from vecguard.errors import ConfigurationError
from vecguard.secret import Secret
from vecguard.tls.authority import Authority, Issued, KeyKind, Usage, parse_name

PROXY_NAME = "vecguard-proxy"
ROOT_COORD_NAME = "vecguard-root-coord"
#: etcd takes a certificate's common name as its user when its own authorization is on.
ETCD_CLIENT_NAME = "vecguard-etcd-client"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

#: The stems of the files of the two CAs: of the public port, and of the links inside.
CA_STEMS = ("ca", "internal-ca")
#: How the files of further clients begin.
CLIENT_PREFIX = "client-"

_KEY_MODE = 0o600
_CERTIFICATE_MODE = 0o644


class CertificateFilesError(ConfigurationError):
    """The files cannot be written. No existing file is lost."""

    reason = "tls_certificate_files"


@dataclass(frozen=True, slots=True)
class SetRequest:
    """Describes the set to make.

    Attributes:
        server_names: the names that clients connect to, on the public port.
        internal_names: the names of root coord and etcd for their clients, in addition to the
            loopback addresses.
        client_name: the common name in the client's certificate.
        days: the validity of the certificates.
        authority_days: the validity of the CAs.
    """

    server_names: Sequence[str] = LOOPBACK_NAMES
    internal_names: Sequence[str] = ()
    client_name: str = "client"
    days: int = 365
    authority_days: int = 3650
    key_kind: KeyKind = KeyKind.EC


@dataclass(frozen=True, slots=True)
class SetFile:
    """A file of the set.

    Attributes:
        purpose: what it is for, in a few words.
        setting: the configuration keys that name it; "" if none does.
    """

    name: str
    content: bytes | Secret[bytes]
    purpose: str
    setting: str = ""

    @property
    def mode(self) -> int:
        """The permission bits: a key is readable by its owner only."""
        return _KEY_MODE if isinstance(self.content, Secret) else _CERTIFICATE_MODE


@dataclass(frozen=True, slots=True)
class _Role:
    stem: str
    what: str
    certificate_setting: str
    key_setting: str = ""


_CA = _Role("ca", "CA of the public port", "tls.caPemPath; clients: ca_pem_path, server_pem_path")
_SERVER = _Role("server", "proxy, public port", "tls.serverPemPath", "tls.serverKeyPath")
_CLIENT = _Role("client", "clients", "clients: client_pem_path", "clients: client_key_path")
_INTERNAL_CA = _Role("internal-ca", "CA of the links inside", "internaltls.caPemPath")
_INTERNAL_SERVER = _Role(
    "internal-server", "root coord", "internaltls.serverPemPath", "internaltls.serverKeyPath"
)
_INTERNAL_CLIENT = _Role(
    "internal-client",
    "proxy to root coord",
    "internaltls.clientPemPath",
    "internaltls.clientKeyPath",
)
_ETCD_SERVER = _Role("etcd-server", "etcd itself", "etcd: --cert-file", "etcd: --key-file")
_ETCD_CLIENT = _Role("etcd-client", "root coord to etcd", "etcd.ssl.tlsCert", "etcd.ssl.tlsKey")


def make_set(request: SetRequest, now: datetime) -> tuple[SetFile, ...]:
    """Returns two CAs and six certificates, in memory.

    Raises:
        AuthorityError: a name or a duration cannot be used.
    """
    kind = request.key_kind
    public = Authority.create("Vecguard CA", now=now, days=request.authority_days, kind=kind)
    inside = Authority.create(
        "Vecguard internal CA", now=now, days=request.authority_days, kind=kind
    )

    def issue(ca: Authority, name: str, usage: Usage, names: Iterable[str] = ()) -> Issued:
        return ca.issue(
            name, usage=usage, now=now, days=request.days, names=_parsed(names), kind=kind
        )

    internal_names = (*LOOPBACK_NAMES, *request.internal_names)
    return (
        *_files(_CA, public.issued),
        *_files(
            _SERVER, issue(public, "vecguard", Usage.SERVER, request.server_names or LOOPBACK_NAMES)
        ),
        *_files(_CLIENT, issue(public, request.client_name, Usage.CLIENT)),
        *_files(_INTERNAL_CA, inside.issued),
        *_files(
            _INTERNAL_SERVER,
            issue(inside, ROOT_COORD_NAME, Usage.SERVER, (ROOT_COORD_NAME, *internal_names)),
        ),
        *_files(_INTERNAL_CLIENT, issue(inside, PROXY_NAME, Usage.CLIENT, (PROXY_NAME,))),
        *_files(_ETCD_SERVER, issue(inside, "etcd", Usage.BOTH, ("etcd", *internal_names))),
        *_files(_ETCD_CLIENT, issue(inside, ETCD_CLIENT_NAME, Usage.CLIENT)),
    )


def client_files(
    authority: Authority, name: str, *, names: Sequence[str], days: int, now: datetime
) -> tuple[SetFile, ...]:
    """Returns the key and the certificate of a further client, in memory.

    Args:
        authority: the CA of the public port.
        name: the common name, and a part of the files' names.
        names: subject alternative names; see `parse_name`.
        days: the validity from `now`.
        now: the time of issue, with a time zone.

    Raises:
        AuthorityError: a name or the duration cannot be used.
    """
    issued = authority.issue(
        name,
        usage=Usage.CLIENT,
        now=now,
        days=days,
        names=_parsed(names),
        kind=authority.kind,
    )
    role = _Role(
        f"{CLIENT_PREFIX}{name}",
        f"client {name}",
        _CLIENT.certificate_setting,
        _CLIENT.key_setting,
    )
    return _files(role, issued)


def write_files(directory: Path, files: Sequence[SetFile], *, replace: bool = False) -> None:
    """Writes all files, or none if one exists and `replace` is off.

    A key is never readable by others, not even for a moment. With `replace`, each file is
    replaced by a rename, so that a running service sees the old one or the new one. A certificate
    keeps its owner and mode.

    Raises:
        CertificateFilesError: a file exists, or the directory cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _write(directory, files, replace=replace)
    except OSError as error:
        raise CertificateFilesError(
            f"{error.filename or directory}: cannot be written: {error.strerror or error}"
        ) from error


def _write(directory: Path, files: Sequence[SetFile], *, replace: bool) -> None:
    existing = [file.name for file in files if os.path.lexists(directory / file.name)]
    if existing and not replace:
        raise _exists(directory, existing)
    suffix = f".new-{secrets.token_hex(6)}" if replace else ""
    created: list[Path] = []
    try:
        for file in files:
            former = directory / file.name
            _create(directory / (file.name + suffix), file, created)
            if replace and former.exists() and not isinstance(file.content, Secret):
                _take_over(created[-1], former)
        if replace:
            for path, file in zip(created, files, strict=True):
                path.replace(directory / file.name)
    except BaseException as error:  # Ctrl-C must not leave keys behind either
        for path in created:
            path.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise _exists(directory, [Path(error.filename).name]) from error
        raise


def _create(path: Path, file: SetFile, created: list[Path]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode)
    created.append(path)
    with os.fdopen(descriptor, "wb") as stream:
        content = file.content
        stream.write(content.reveal() if isinstance(content, Secret) else content)
        stream.flush()
        os.fsync(stream.fileno())


def _take_over(path: Path, former: Path) -> None:
    """Gives a new certificate the owner and the mode of the file that it replaces.

    Otherwise a service under a user of its own could not read it.
    """
    status = former.stat()
    os.chown(path, status.st_uid, status.st_gid)
    path.chmod(stat.S_IMODE(status.st_mode))


def _exists(directory: Path, names: Sequence[str]) -> CertificateFilesError:
    return CertificateFilesError(
        f"{directory} already holds {', '.join(names)}; "
        "nothing was written. Choose another directory, or replace them with --force"
    )


def _files(role: _Role, issued: Issued) -> tuple[SetFile, SetFile]:
    return (
        SetFile(f"{role.stem}.key", issued.key, f"{role.what}: private key", role.key_setting),
        SetFile(
            f"{role.stem}.pem",
            issued.certificate,
            f"{role.what}: certificate",
            role.certificate_setting,
        ),
    )


def _parsed(names: Iterable[str]) -> tuple[x509.GeneralName, ...]:
    return tuple(dict.fromkeys(parse_name(name) for name in names))
