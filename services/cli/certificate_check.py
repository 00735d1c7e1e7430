"""What is right and wrong about a set of certificate files, and what to do about it."""

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cryptography import x509

from shared.tls import certificates
from shared.tls.reloading import WARN_BEFORE_EXPIRY_SECONDS

_Chain = tuple[x509.Certificate, ...]

_OTHERS_MAY_READ = stat.S_IRGRP | stat.S_IROTH


class Result(Enum):
    """How a check ended."""

    GOOD = "good"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        file: where, as the operator named it.
        check: what was asked, one word or two.
        detail: what was found.
        advice: what to do; "" when all is well.
    """

    file: str
    check: str
    result: Result
    detail: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class FileSet:
    """Files that belong together. `name` is the host that clients will dial."""

    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None
    name: str | None = None

    @property
    def title(self) -> str:
        """The file that the set is about."""
        return str(self.certificate or self.authorities or self.key)

    @property
    def is_for_server(self) -> bool | None:
        """Which end the file's name or the asked host name speaks of; None if neither does."""
        if self.name is not None:
            return True
        if self.certificate is None:
            return None
        stem = self.certificate.stem
        return True if "server" in stem else False if "client" in stem else None


def sets_in(directory: Path) -> tuple[FileSet, ...]:
    """The sets in a directory: as `vecguard certs init` names them, or as cert-manager does."""
    kubernetes = directory / "tls.crt"
    if kubernetes.exists():
        return (FileSet(kubernetes, directory / "tls.key", _if_there(directory / "ca.crt")),)
    authorities = [path for path in sorted(directory.glob("*ca.pem")) if path.is_file()]
    leaves = [path for path in sorted(directory.glob("*.pem")) if path not in authorities]
    return (
        *(FileSet(path, _if_there(path.with_suffix(".key"))) for path in authorities),
        *(
            FileSet(path, path.with_suffix(".key"), _authority_of(path, authorities))
            for path in leaves
        ),
    )


def check_set(files: FileSet, now: float) -> Iterator[Finding]:
    """Everything that can be said about one set at `now` (seconds since the epoch)."""
    chain: _Chain = ()
    authorities: _Chain = ()
    if files.certificate:
        finding, chain = _read(files.certificate)
        yield finding
    if files.authorities:
        finding, authorities = _read(files.authorities)
        if not authorities or not files.certificate:
            yield finding
    if files.key:
        yield from _check_key(files.key, chain[0] if chain else None)
    if chain:
        yield from _check_certificate(files, chain, authorities, now)
    elif not files.certificate:
        for authority in authorities:
            yield _dates_finding(str(files.authorities), authority, now)


def _check_certificate(
    files: FileSet, chain: _Chain, authorities: _Chain, now: float
) -> Iterator[Finding]:
    path = None
    if authorities:
        path = certificates.path_to_authority(chain[0], chain[1:], authorities)
        yield _chain_finding(files, chain, path)
    for certificate in path or chain:
        finding = _dates_finding(str(files.certificate), certificate, now)
        # An issuer whose dates are right is no news.
        if certificate is chain[0] or finding.result is not Result.GOOD:
            yield finding
    yield from _check_use(files, chain[0])


def _read(path: Path) -> tuple[Finding, _Chain]:
    try:
        found = certificates.read_certificates(path.read_bytes())
        leaf = certificates.facts(found[0])
    except OSError as error:
        return _unreadable(path, "file", error), ()
    except (certificates.PemError, ValueError) as error:
        return _wrong(path, "file", str(error), "write the certificate anew, in PEM"), ()
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    detail = f"{leaf.common_name or '(no common name)'}{more}, issued by {leaf.issuer_name}"
    return Finding(str(path), "file", Result.GOOD, detail), found


def _check_key(path: Path, leaf: x509.Certificate | None) -> Iterator[Finding]:
    try:
        key = certificates.read_private_key(path.read_bytes())
        rights = path.stat().st_mode
    except OSError as error:
        yield _unreadable(path, "key", error)
        return
    except certificates.PemError as error:
        yield _wrong(path, "key", str(error), "write the key anew, in PEM, without a passphrase")
        return
    if leaf is not None:
        if certificates.key_matches(leaf, key):
            yield Finding(str(path), "key", Result.GOOD, f"{path.name} matches the certificate")
        else:
            yield _wrong(
                path,
                "key",
                f"{path.name} does not match the certificate",
                "use the key that the certificate was requested with",
            )
    if rights & _OTHERS_MAY_READ:
        yield Finding(
            str(path),
            "rights",
            Result.WARNING,
            f"others may read the key (mode {stat.S_IMODE(rights):04o})",
            f"chmod 600 {path}; on Kubernetes set the volume's defaultMode to 0400",
        )


def _chain_finding(
    files: FileSet, chain: Sequence[x509.Certificate], path: Sequence[x509.Certificate] | None
) -> Finding:
    if path is not None:
        names = " <- ".join(_name(certificate) for certificate in path)
        return Finding(str(files.certificate), "chain", Result.GOOD, names)
    issuer = certificates.facts(chain[-1]).issuer_name
    return _wrong(
        files.certificate,
        "chain",
        f"does not lead to a CA in {files.authorities}; its end was issued by {issuer!r}",
        "use the CA file of whoever issued it, or add the missing intermediate to the certificate; "
        "a CA made anew under the same name is another CA",
    )


def _dates_finding(file: str, certificate: x509.Certificate, now: float) -> Finding:
    facts = certificates.facts(certificate)
    name, left = _name(certificate), facts.valid_for_seconds(now)
    if facts.valid_from_seconds(now) > 0:
        return _wrong(
            file,
            "dates",
            f"{name} is not valid before {facts.not_before:%Y-%m-%d %H:%M} UTC",
            "check this machine's clock, or wait",
        )
    if left <= 0:
        return _wrong(
            file,
            "dates",
            f"{name} expired on {facts.not_after:%Y-%m-%d %H:%M} UTC",
            "renew it; a running service takes up the new file by itself",
        )
    soon = left <= WARN_BEFORE_EXPIRY_SECONDS
    return Finding(
        file,
        "dates",
        Result.WARNING if soon else Result.GOOD,
        f"{name} is valid until {facts.not_after:%Y-%m-%d %H:%M} UTC ({left / 86_400:.0f} d)",
        "renew it soon" if soon else "",
    )


def _check_use(files: FileSet, leaf: x509.Certificate) -> Iterator[Finding]:
    facts = certificates.facts(leaf)
    file = str(files.certificate)
    if files.is_for_server and not facts.is_for_servers:
        yield _wrong(file, "use", "is not meant for servers", "issue it with key usage serverAuth")
    if files.is_for_server is False and not facts.is_for_clients:
        yield _wrong(file, "use", "is not meant for clients", "issue it with key usage clientAuth")
    names = [*facts.dns_names, *map(str, facts.ip_addresses), *facts.uris]
    listed = ", ".join(names) or "none"
    if files.name is not None:
        if facts.covers(files.name):
            yield Finding(file, "names", Result.GOOD, f"{files.name} is among {listed}")
        else:
            yield _wrong(
                file,
                "names",
                f"{files.name} is not among its alternative names ({listed})",
                f"issue it with --san {files.name}, or let clients expect one of these names "
                "(pymilvus: server_name)",
            )
    elif files.is_for_server and not names:
        yield _wrong(
            file,
            "names",
            "has no alternative name, and clients ignore the common name",
            "issue it with --san and the name that clients dial",
        )
    elif names:
        yield Finding(file, "names", Result.GOOD, listed)


def _unreadable(path: Path, check: str, error: OSError) -> Finding:
    return _wrong(path, check, f"cannot be read: {error.strerror}", "check its path and rights")


def _wrong(file: object, check: str, detail: str, advice: str) -> Finding:
    return Finding(str(file), check, Result.WRONG, detail, advice)


def _name(certificate: x509.Certificate) -> str:
    name = certificates.facts(certificate).common_name
    return name or certificate.subject.rfc4514_string() or f"serial {certificate.serial_number:x}"


def _if_there(path: Path) -> Path | None:
    return path if path.exists() else None


def _authority_of(leaf: Path, authorities: Sequence[Path]) -> Path | None:
    """The internal CA for what is inside, the other one for the rest."""
    prefix = "internal-" if leaf.stem.startswith(("internal-", "etcd-")) else ""
    wanted = leaf.with_name(f"{prefix}ca.pem")
    return wanted if wanted in authorities else next(iter(authorities), None)
