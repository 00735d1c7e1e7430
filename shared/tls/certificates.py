"""Reading certificates and keys from PEM, and the questions asked of them."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_END = re.compile(rb"-----END ([A-Z0-9 ]+)-----")
#: DER of a certificate or key starts with a SEQUENCE whose length takes two bytes.
_DER_PREFIX = b"\x30\x82"


class PemError(Exception):
    """The bytes are not the PEM that was expected; the text says what they are instead."""


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What people and programs ask of one certificate."""

    common_name: str | None
    issuer_name: str | None
    dns_names: tuple[str, ...]
    uris: tuple[str, ...]
    ip_addresses: tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, ...]
    not_before: datetime
    not_after: datetime
    is_authority: bool
    is_for_servers: bool
    is_for_clients: bool

    def valid_for_seconds(self, now: float) -> float:
        """Seconds from `now` (since the epoch) until the certificate ends; negative afterwards."""
        return self.not_after.timestamp() - now

    def valid_from_seconds(self, now: float) -> float:
        """Seconds from `now` (since the epoch) until the certificate begins; negative when it has.

        A positive value means that every peer refuses it for that long.
        """
        return self.not_before.timestamp() - now

    def covers(self, host: str) -> bool:
        """Whether a client that connects to `host` accepts this certificate's names.

        RFC 9525: subject alternative names only, one leftmost `*` label, IP addresses exact.
        """
        try:
            return ipaddress.ip_address(host) in self.ip_addresses
        except ValueError:
            return any(_dns_name_covers(name, host) for name in self.dns_names)


def read_certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Every certificate of a PEM text, in its order. Other blocks (a key) are skipped.

    Raises:
        PemError: none is there, one cannot be read, or a block is cut off.
    """
    _require_whole_blocks(pem, "certificate")
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError as error:
        raise PemError(f"holds no readable certificate ({_first_line(error)})") from error


def read_private_key(pem: bytes) -> PrivateKeyTypes:
    """The private key of a PEM text.

    Raises:
        PemError: none is there, it is encrypted, or its kind is unknown.
    """
    _require_whole_blocks(pem, "private key")
    try:
        return load_pem_private_key(pem, password=None)
    except TypeError as error:  # documented: the key is encrypted and no password was given
        raise PemError(
            "is encrypted, and nobody can type a passphrase into a service; "
            "store the key unencrypted with file mode 0600"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise PemError(f"holds no readable private key ({_first_line(error)})") from error


def facts(certificate: x509.Certificate) -> CertificateFacts:
    """The questions above answered for one certificate.

    Raises:
        ValueError: an extension is malformed.
    """
    names = _alternative_names(certificate)
    return CertificateFacts(
        common_name=_common_name(certificate.subject),
        issuer_name=_common_name(certificate.issuer),
        dns_names=tuple(names.get_values_for_type(x509.DNSName)) if names else (),
        uris=tuple(names.get_values_for_type(x509.UniformResourceIdentifier)) if names else (),
        ip_addresses=_addresses(names) if names else (),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        is_authority=_is_authority(certificate),
        is_for_servers=_is_for(certificate, ExtendedKeyUsageOID.SERVER_AUTH),
        is_for_clients=_is_for(certificate, ExtendedKeyUsageOID.CLIENT_AUTH),
    )


def key_matches(certificate: x509.Certificate, key: PrivateKeyTypes) -> bool:
    """Whether `key` is the private half of the certificate's key.

    Raises:
        PemError: the certificate's key is of a kind that cannot be used.
    """
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        own = certificate.public_key().public_bytes(*spki)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise PemError(f"holds a key that cannot be used ({_first_line(error)})") from error
    return key.public_key().public_bytes(*spki) == own


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether names and signature say that `issuer` made `certificate`. Dates are not looked at."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def is_self_issued(certificate: x509.Certificate) -> bool:
    """Whether the certificate is its own issuer, as roots and self-signed servers are."""
    return certificate.issuer == certificate.subject and is_issued_by(certificate, certificate)


def path_to_authority(
    leaf: x509.Certificate,
    intermediates: Iterable[x509.Certificate],
    authorities: Sequence[x509.Certificate],
) -> tuple[x509.Certificate, ...] | None:
    """The certificates from `leaf` to one of `authorities`, both included; None without a path.

    As OpenSSL with partial chains and Go do it, every certificate among `authorities`
    ends a path, self-issued or not.
    """
    path = [leaf]
    candidates = list(intermediates)
    while True:
        last = path[-1]
        if last in authorities:
            return tuple(path)
        anchor = next((a for a in authorities if is_issued_by(last, a)), None)
        if anchor is not None:
            return (*path, anchor)
        step = next((c for c in candidates if c not in path and is_issued_by(last, c)), None)
        if step is None:
            return None
        path.append(step)


def _require_whole_blocks(pem: bytes, wanted: str) -> None:
    begins, ends = _BEGIN.findall(pem), _END.findall(pem)
    last_line = pem.rstrip().rpartition(b"\n")[2]
    if begins != ends or (last_line.startswith(b"-") and not _END.fullmatch(last_line)):
        raise PemError("is cut off: a BEGIN line has no END line, as in a half-written file")
    if begins:
        return
    if not pem.strip():
        raise PemError("is empty")
    if pem.startswith(_DER_PREFIX):
        raise PemError(f"is DER, not PEM; convert it to a {wanted} in PEM")
    raise PemError(f"is not PEM; a {wanted} in PEM starts with a line -----BEGIN ...-----")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


def _common_name(name: x509.Name) -> str | None:
    values = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    # With two there is no saying which of them is meant.
    return str(values[0].value) if len(values) == 1 else None


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return None
    return extension.value


def _addresses(
    names: x509.SubjectAlternativeName,
) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, ...]:
    # Networks are for name constraints and name no host.
    return tuple(
        value
        for value in names.get_values_for_type(x509.IPAddress)
        if isinstance(value, ipaddress.IPv4Address | ipaddress.IPv6Address)
    )


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        # X.509 version 1 has no extensions; its roots are recognised by being self-issued.
        return certificate.version is x509.Version.v1 and is_self_issued(certificate)


def _is_for(certificate: x509.Certificate, usage: x509.ObjectIdentifier) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True  # RFC 5280, 4.2.1.12: without the extension there is no restriction
    return usage in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages


def _dns_name_covers(name: str, host: str) -> bool:
    wanted = host.lower().removesuffix(".").split(".")
    given = name.lower().removesuffix(".").split(".")
    if given[0] == "*" and len(given) > 2:  # noqa: PLR2004 - RFC 9525: never `*` or `*.com`
        return len(wanted) == len(given) and bool(wanted[0]) and wanted[1:] == given[1:]
    return wanted == given
