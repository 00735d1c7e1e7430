"""Reads one connection's CA, certificate and key, and checks that they fit together."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from vecguard.errors import ConfigurationError
from vecguard.tls import certificates
from vecguard.tls.pem import PemError
from vecguard.tls.validity import SetValidity

#: A CA bundle of a whole operating system is about 250 kB. The limit keeps a path that
#: names a device or a log from being read without end.
MAX_FILE_BYTES = 4 * 1024 * 1024


class TlsMaterialError(ConfigurationError):
    """A certificate, key or CA file cannot be used; the text names file and setting."""

    reason = "tls_material"


class WrongUsageError(TlsMaterialError):
    """The certificate is not for the end of the connection that shows it."""


@dataclass(frozen=True, slots=True)
class PemFile:
    """A file and the configuration key that names it."""

    path: Path
    setting: str

    def problem(self, what: str) -> TlsMaterialError:
        """Returns an error about this file: `what` follows the name, as in "does not exist"."""
        return TlsMaterialError(f"{self.setting}: {self.path.absolute()} {what}")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of one end of a connection.

    `certificate` (the leaf first, then its intermediates) and `key` are both set or both
    missing. `authorities` holds the CAs by which the peer is judged.
    """

    certificate: PemFile | None = None
    key: PemFile | None = None
    authorities: PemFile | None = None

    def __post_init__(self) -> None:
        if self.certificate is None and self.key is not None:
            raise self.key.problem("is a key without a certificate; set both or none")
        if self.key is None and self.certificate is not None:
            raise self.certificate.problem("is a certificate without a key; set both or none")

    def __iter__(self) -> Iterator[PemFile]:
        return (file for file in (self.certificate, self.key, self.authorities) if file)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The contents of the files at one moment. Never printed: a key is among them."""

    files: TlsFiles
    contents: Mapping[PemFile, bytes | TlsMaterialError]
    digest: bytes

    def __repr__(self) -> str:
        return f"<Snapshot {self.digest.hex()[:12]}>"

    def of(self, file: PemFile) -> bytes:
        """Returns the file's content.

        Raises:
            TlsMaterialError: it could not be read.
        """
        content = self.contents[file]
        if isinstance(content, TlsMaterialError):
            raise content
        return content


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """A consistent set of files. OpenSSL holds the private keys; they are not kept here.

    Attributes:
        chain: own certificate first, then the intermediates; empty without one.
        authorities: the CAs by which the peer is judged; empty for the system's.
        validity: the validity of the set.
        digest: the digest of all files' contents, to detect a change.
    """

    files: TlsFiles
    chain: tuple[x509.Certificate, ...]
    authorities: tuple[x509.Certificate, ...]
    validity: SetValidity
    digest: bytes

    def authorities_der(self) -> bytes:
        """Returns the CAs in DER, as OpenSSL takes them without a file and without comments."""
        return b"".join(each.public_bytes(Encoding.DER) for each in self.authorities)


def take_snapshot(files: TlsFiles) -> Snapshot:
    """Reads all files now. The snapshot records an unreadable file instead of raising an error."""
    contents = {file: _content(file) for file in files}
    digest = hashlib.blake2b(digest_size=16)
    for content in contents.values():
        mark, octets = (
            (b"?", str(content).encode())
            if isinstance(content, TlsMaterialError)
            else (b"=", content)
        )
        digest.update(mark + len(octets).to_bytes(8, "big") + octets)
    return Snapshot(files, contents, digest.digest())


def judge(snapshot: Snapshot) -> TlsMaterial:
    """Accepts a consistent set: valid PEM, a key that fits, and a connected chain.

    Dates are not judged here: Milvus starts with an expired certificate too, and a
    wrong clock must not stop a service. The user of the material warns of them.

    Raises:
        TlsMaterialError: the text names the file, what is wrong with it, and its setting.
    """
    files = snapshot.files
    chain: tuple[x509.Certificate, ...] = ()
    if files.certificate and files.key:
        chain = _certificates(snapshot, files.certificate)
        _require_key(snapshot, files.key, chain[0], files.certificate)
        _require_issuer(chain, files.certificate)
    authorities = _certificates(snapshot, files.authorities) if files.authorities else ()
    validity = SetValidity(chain, authorities)
    return TlsMaterial(files, chain, authorities, validity, snapshot.digest)


def require_usage(material: TlsMaterial, *, is_server: bool) -> None:
    """Refuses a certificate that every peer would refuse at this end of a connection.

    Raises:
        WrongUsageError: its extended key usage names the other end only, or neither.
    """
    file = material.files.certificate
    if file is None or not material.chain:
        return
    try:
        certificates.require_usage(material.chain[0], is_server=is_server)
    except PemError as error:
        raise WrongUsageError(file.problem(str(error)).message) from error


def _content(file: PemFile) -> bytes | TlsMaterialError:
    try:
        with file.path.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return file.problem("does not exist")
    except OSError as error:
        return file.problem(f"cannot be read: {error.strerror or error}")
    if len(content) > MAX_FILE_BYTES:
        return file.problem(f"is larger than {MAX_FILE_BYTES} bytes; is it the right file?")
    return content


def _certificates(snapshot: Snapshot, file: PemFile) -> tuple[x509.Certificate, ...]:
    try:
        return certificates.read_certificates(snapshot.of(file))
    except PemError as error:
        raise file.problem(str(error)) from error


def _require_key(
    snapshot: Snapshot, file: PemFile, leaf: x509.Certificate, certificate_file: PemFile
) -> None:
    try:
        key = certificates.read_private_key(snapshot.of(file))
    except PemError as error:
        raise file.problem(str(error)) from error
    try:
        matches = certificates.key_matches(leaf, key)
    except PemError as error:
        raise certificate_file.problem(str(error)) from error
    if not matches:
        raise file.problem(
            f"does not match the first certificate in {certificate_file.path} "
            f"({certificate_file.setting}); use the key that the certificate was requested with"
        )


def _require_issuer(chain: tuple[x509.Certificate, ...], file: PemFile) -> None:
    """Refuses a leaf that none of the intermediates issued, as after an incomplete renewal.

    The order after the leaf matters to no TLS library in use, so it is not checked.
    """
    leaf, *others = chain
    if not others or certificates.is_self_issued(leaf):
        return
    if not any(certificates.is_issued_by(leaf, other) for other in others):
        raise file.problem(
            "holds further certificates, but none of them issued the first one; "
            "put the certificate first and its own intermediates after it"
        )
