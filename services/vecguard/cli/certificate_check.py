"""Checks a set of certificate files and says what to do about each fault."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from vecguard.cli.certificate_files import FileSet
from vecguard.cli.certificate_findings import remedy_of, severity_of, unused_text
from vecguard.cli.finding import Severity
from vecguard.cli.handshake_check import client_refusal, server_refusal
from vecguard.tls import certificates, contexts, grpcio
from vecguard.tls.material import TlsMaterialError, WrongUsageError
from vecguard.tls.pem import PemError
from vecguard.tls.validity import SetValidity, Stage, Validity

_Chain = tuple[x509.Certificate, ...]

_OTHERS_MAY_READ = stat.S_IRGRP | stat.S_IROTH


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        file: the file, as the operator named it.
        check: what was checked, in one word or two.
        result: how much it matters; a key of the JSON that users read.
        detail: what was found.
        advice: what to do; "" when nothing has to be done.
    """

    file: str
    check: str
    result: Severity
    detail: str
    advice: str = ""


def check_set(files: FileSet, now: float) -> Iterator[Finding]:
    """Yields the findings about one set at `now` (seconds since the epoch).

    The handshake, which comes last, uses this machine's clock.
    """
    wrong = False
    for finding in _check_parts(files, now):
        wrong = wrong or finding.result is Severity.WRONG
        yield finding
    # OpenSSL would report a fault that was already found a second time, in its own words.
    if not wrong:
        yield from _check_handshake(files)


def _check_parts(files: FileSet, now: float) -> Iterator[Finding]:
    chain: _Chain = ()
    authorities: _Chain = ()
    read: list[Finding] = []
    if files.certificate:
        finding, chain = _read(files.certificate)
        read.append(finding)
    if files.authorities:
        finding, authorities = _read(files.authorities)
        if not authorities or not files.certificate:
            read.append(finding)
    if files.key:
        read += _check_key(files.key, chain[:1] if files.certificate else authorities)
    yield from read
    if not any(finding.result is Severity.WRONG for finding in read):
        yield from _check_load(files, chain)
    if chain or not files.certificate:
        yield from _check_path(files, chain, authorities, now)
    if chain:
        yield from _check_use(files, chain[0])


def _check_load(files: FileSet, chain: _Chain) -> Iterator[Finding]:
    """Loads the files as the services do: files that pass here load there."""
    if not files.is_pair and files.authorities is None:
        return  # OpenSSL loads no certificate without its key
    if not files.is_pair or not _is_for_server(files, chain[0]):
        build: contexts.ContextBuilder = contexts.client_context
    else:
        build = contexts.mutual_server_context if files.authorities else contexts.server_context
    try:
        contexts.load(files.tls_files, build)
    except WrongUsageError:
        return  # see `_check_use`
    except TlsMaterialError as error:
        yield _wrong(files.title, "load", error.message, "a service cannot start with these files")


def _check_handshake(files: FileSet) -> Iterator[Finding]:
    """Makes a TLS handshake with a peer that trusts the CA file."""
    if not files.is_pair or files.certificate is None or files.authorities is None:
        return
    _, chain = _read(files.certificate)
    if not chain:
        return
    if _is_for_server(files, chain[0]):
        peer, purpose = "clients", "sslserver"
        refusal = server_refusal(files.tls_files, files.name)
    elif not certificates.facts(chain[0]).is_for_clients:
        return  # see `_check_use`
    else:
        peer, purpose = "servers", "sslclient"
        refusal = client_refusal(files.tls_files)
    file = str(files.certificate)
    if refusal is None:
        detail = f"{peer} that trust {files.authorities} accept the certificate"
        yield Finding(file, "handshake", Severity.GOOD, detail)
    else:
        yield _wrong(
            file,
            "handshake",
            f"{peer} that trust {files.authorities} refuse the certificate: {refusal.reason}",
            f"correct the certificate that this command names: openssl verify -purpose {purpose} "
            f"-partial_chain -CAfile {files.authorities} -untrusted {file} {file}"
            if refusal.is_of_path
            else grpcio.ADVICE,
        )


def _is_for_server(files: FileSet, leaf: x509.Certificate) -> bool:
    if files.is_for_server is not None:
        return files.is_for_server
    return certificates.facts(leaf).is_for_servers


def _check_path(
    files: FileSet, chain: _Chain, authorities: _Chain, now: float
) -> Iterator[Finding]:
    validity = SetValidity(chain, authorities)
    path = validity.path(now)
    if chain and authorities:
        yield _chain_finding(files, path, chain, authorities)
    for position, each in enumerate(validity.needed(now)):
        # The dates of an issuer are reported only when they are wrong.
        if position == 0 or each.stage(now) is not Stage.GOOD:
            yield _dates_finding(files.title, each, now)
    if ended := validity.unused_ended(now):
        yield Finding(files.title, "unused", Severity.NOTE, unused_text(ended, now))
    if chain and not files.is_inside:
        is_server = _is_for_server(files, chain[0])
        unusable = grpcio.unusable_key(path, is_server=is_server)
        if unusable is not None:
            yield Finding(files.title, "clients", Severity.WARNING, unusable, grpcio.ADVICE)


def _read(path: Path) -> tuple[Finding, _Chain]:
    try:
        found = certificates.read_certificates(path.read_bytes())
        leaf = certificates.facts(found[0])
    except OSError as error:
        return _unreadable(path, "file", error), ()
    except PemError as error:
        advice = error.remedy or "replace it with a certificate in PEM"
        return _wrong(path, "file", error.cause, advice), ()
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    detail = f"{leaf.common_name or '(no common name)'}{more}, issued by {leaf.issuer_name}"
    return Finding(str(path), "file", Severity.GOOD, detail), found


def _check_key(path: Path, owners: _Chain) -> Iterator[Finding]:
    """Checks that the key is usable and, if there are `owners`, belongs to one of them."""
    try:
        key = certificates.read_private_key(path.read_bytes())
        rights = path.stat().st_mode
        fits = any(certificates.key_matches(each, key) for each in owners)
    except OSError as error:
        yield _unreadable(path, "key", error)
        return
    except PemError as error:
        advice = error.remedy or "replace it with a private key in PEM, without a passphrase"
        yield _wrong(path, "key", error.cause, advice)
        return
    if owners:
        if fits:
            yield Finding(str(path), "key", Severity.GOOD, f"{path.name} matches the certificate")
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
            Severity.WARNING,
            f"others may read the key (mode {stat.S_IMODE(rights):04o})",
            f"chmod 600 {path}; on Kubernetes set the volume's defaultMode to 0400",
        )


def _chain_finding(files: FileSet, path: _Chain, chain: _Chain, authorities: _Chain) -> Finding:
    if path[-1] in authorities:
        names = " <- ".join(certificates.name_of(certificate) for certificate in path)
        return Finding(str(files.certificate), "chain", Severity.GOOD, names)
    name = certificates.name_of(path[-1])
    for each in (*chain, *authorities):
        if each != path[-1] and certificates.is_issued_by(path[-1], each):
            return _wrong(
                files.certificate,
                "chain",
                f"{name} is issued by {certificates.name_of(each)}, which clients do not accept as "
                "a CA: its basic constraints or key usage do not allow it",
                "reissue the issuer with basicConstraints CA:TRUE and key usage keyCertSign",
            )
    issuer = certificates.issuer_of(path[-1])
    return _wrong(
        files.certificate,
        "chain",
        f"does not lead to a CA in {files.authorities}; its end was issued by {issuer!r}",
        "use the issuing CA's file, or add the missing intermediate to the certificate; "
        "a re-created CA of the same name is another CA",
    )


def _dates_finding(file: str, validity: Validity, now: float) -> Finding:
    stage = validity.stage(now)
    return Finding(file, "dates", severity_of(stage), validity.text(now), remedy_of(stage))


def _check_use(files: FileSet, leaf: x509.Certificate) -> Iterator[Finding]:
    facts = certificates.facts(leaf)
    file = str(files.certificate)
    is_server = _is_for_server(files, leaf)
    try:
        certificates.require_usage(leaf, is_server=is_server)
    except PemError as error:
        if is_server or files.is_for_root_coord or files.is_for_server is None:
            yield _wrong(file, "use", error.cause, error.remedy)
        else:
            detail = f"{error.cause}; a server that asks for a client certificate refuses it"
            yield Finding(file, "use", Severity.WARNING, detail, error.remedy)
    names = [*facts.dns_names, *map(str, facts.ip_addresses), *facts.uris]
    listed = ", ".join(names) or "none"
    if files.name is not None:
        if facts.covers(files.name):
            yield Finding(file, "names", Severity.GOOD, f"{files.name} is among {listed}")
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
            "issue it with --san and the name that clients connect to",
        )
    elif names:
        yield Finding(file, "names", Severity.GOOD, listed)


def _unreadable(path: Path, check: str, error: OSError) -> Finding:
    return _wrong(path, check, f"cannot be read: {error.strerror}", "check its path and rights")


def _wrong(file: object, check: str, detail: str, advice: str) -> Finding:
    return Finding(str(file), check, Severity.WRONG, detail, advice)
