"""Issues further certificates from the CAs of a directory of `certs init`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from vecguard.secret import Secret
from vecguard.tls.authority import Authority, AuthorityError
from vecguard.tls.certificate_set import (
    CA_STEMS,
    CertificateFilesError,
    SetFile,
    client_files,
    write_files,
)
from vecguard.tls.certificates import is_issued_by, issuer_of, name_of, read_certificates
from vecguard.tls.pem import PemError

_NEW_CA: Final = "a CA is not renewed; make new CAs, see Rotation in docs/tls.md"


class _NoIssuerError(AuthorityError):
    """The CA of a certificate, or the CA's key, is not in the directory."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """What was done about one certificate.

    Attributes:
        path: its file.
        name: its name, for people; "" if the file cannot be read.
        expired: when the certificate in the file expired, or would have; None if unknown.
        expires: when the certificate that the file has now expires; None if unknown.
        renewed: whether it was replaced.
        problem: why a certificate that should be renewed was not; "" otherwise.
    """

    path: Path
    name: str = ""
    expired: datetime | None = None
    expires: datetime | None = None
    renewed: bool = False
    problem: str = ""


def add_client(
    directory: Path, name: str, *, names: Sequence[str], days: int, now: datetime
) -> tuple[SetFile, ...]:
    """Writes the key and the certificate of a further client; returns the files.

    Raises:
        AuthorityError: a name cannot be used, or the CA cannot be used or expires first.
        CertificateFilesError: a file exists, or cannot be read or written.
    """
    if "/" in name or name == "ca":
        raise AuthorityError(f"{name!r} cannot be part of a file name; choose another name")
    ca, _ = CA_STEMS
    files = client_files(_authority(directory, ca), name, names=names, days=days, now=now)
    taken = [file.name for file in files if (directory / file.name).exists()]
    if taken:
        raise CertificateFilesError(
            f"{directory} already holds {', '.join(taken)}; nothing was written. "
            "Renew a certificate with: vecguard certs renew"
        )
    write_files(directory, files)
    return files


def renew_expiring(
    directory: Path, *, within: timedelta, days: int, now: datetime
) -> list[Renewal]:
    """Renews the certificates of a directory that expire soon, and keeps their private keys.

    Only certificates are replaced, each by one rename. So a service that reads a certificate and
    its key at any moment gets a pair that fits. A CA's key may be kept elsewhere: then only the
    certificates of the other CA are renewed.

    Args:
        directory: a directory of `certs init`.
        within: a certificate that expires later than this is left alone.
        days: the validity of new certificates from `now`.
        now: the time of issue, with a time zone.

    Returns:
        what was done about each certificate, the CAs included, in the order of the files' names.

    Raises:
        AuthorityError: a CA's key cannot be used, or the CA expires first. Nothing was written.
        CertificateFilesError: a file cannot be read or written.
    """
    authorities = _Authorities(directory)
    done: list[Renewal] = []
    files: list[SetFile] = []
    for path in sorted(directory.glob("*.pem")):
        if path.stem in CA_STEMS:
            done += _looked_at(path, within, now)
            continue
        renewal, certificate = _due(path, within, now)
        if certificate is not None:
            try:
                authority = authorities.issuer(certificate)
            except _NoIssuerError as error:
                renewal = replace(renewal, problem=error.message)
            else:
                content = authority.renew(certificate, now=now, days=days)
                files.append(SetFile(path.name, content, ""))
                expires = read_certificates(content)[0].not_valid_after_utc
                renewal = replace(renewal, expires=expires, renewed=True)
        done.append(renewal)
    if not done:
        raise CertificateFilesError(f"{directory} holds no *.pem; name a directory of certs init")
    write_files(directory, files, replace=True)
    return done


class _Authorities:
    """Finds the CA of a certificate, and reads a CA's key only if that CA is needed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._opened: dict[str, Authority] = {}

    def issuer(self, certificate: x509.Certificate) -> Authority:
        """Returns the CA that issued a certificate.

        Raises:
            _NoIssuerError: that CA, or its key, is not in the directory.
            AuthorityError, CertificateFilesError: that CA cannot be used.
        """
        for stem in CA_STEMS:
            path = self._directory / f"{stem}.pem"
            if path.exists() and any(is_issued_by(certificate, ca) for ca in _certificates(path)):
                if stem not in self._opened:
                    self._opened[stem] = _authority(self._directory, stem)
                found = self._opened[stem]
                # A CA file may have the former CA, too, whose key is elsewhere.
                if is_issued_by(certificate, found.certificate):
                    return found
                break
        raise _NoIssuerError(
            f"it was issued by {issuer_of(certificate)!r}, which is not a CA of this directory"
        )


def _looked_at(path: Path, within: timedelta, now: datetime) -> Iterator[Renewal]:
    for ca in _certificates(path):
        ends = ca.not_valid_after_utc
        problem = _NEW_CA if ends - now <= within else ""
        yield Renewal(path, name_of(ca), ends, ends, problem=problem)


def _due(path: Path, within: timedelta, now: datetime) -> tuple[Renewal, x509.Certificate | None]:
    """Returns what is in a file, and its certificate if it should be renewed."""
    content = _content(path)
    try:
        leaf, *others = read_certificates(content)
    except PemError as error:
        return Renewal(path, problem=str(error)), None
    ends = leaf.not_valid_after_utc
    found = Renewal(path, name_of(leaf), ends, ends)
    if ends - now > within:
        return found, None
    if others or b"PRIVATE KEY" in content:
        return replace(found, problem="the file holds more than one certificate"), None
    return found, leaf


def _authority(directory: Path, stem: str) -> Authority:
    certificate, key = directory / f"{stem}.pem", directory / f"{stem}.key"
    if not key.exists():
        raise _NoIssuerError(
            f"{key} is missing, and a CA cannot issue certificates without its key; copy the key "
            "to this path, run the command again, then remove the key"
        )
    try:
        return Authority.of(_content(certificate), Secret(_content(key)))
    except PemError as error:
        raise AuthorityError(f"{certificate} and {key}: {error}") from error
    except AuthorityError as error:
        raise AuthorityError(f"{certificate} and {key}: {error.message}") from error


def _certificates(path: Path) -> tuple[x509.Certificate, ...]:
    try:
        return read_certificates(_content(path))
    except PemError as error:
        raise CertificateFilesError(f"{path} {error}") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateFilesError(f"{path} cannot be read: {error.strerror}") from error
