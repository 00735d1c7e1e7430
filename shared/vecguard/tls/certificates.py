"""Reads certificates and keys from PEM, and answers questions about them."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vecguard.tls.pem import PemError, labels

_CERTIFICATES = frozenset(("CERTIFICATE", "X509 CERTIFICATE"))
_TRUSTED = "TRUSTED CERTIFICATE"
_USAGE_NAMES: Final = {
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.CODE_SIGNING: "codeSigning",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "emailProtection",
    ExtendedKeyUsageOID.TIME_STAMPING: "timeStamping",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSPSigning",
}
#: The CA bundle of an operating system holds about 150.
MAX_CERTIFICATES: Final = 1000


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """The properties of one certificate that people and programs need."""

    common_name: str | None
    issuer_name: str | None
    dns_names: tuple[str, ...]
    uris: tuple[str, ...]
    ip_addresses: tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, ...]
    is_for_servers: bool
    is_for_clients: bool

    def covers(self, host: str) -> bool:
        """Returns whether a client that connects to `host` accepts this certificate's names.

        RFC 9525: subject alternative names only, one leftmost `*` label, IP addresses exact.
        """
        try:
            return ipaddress.ip_address(host) in self.ip_addresses
        except ValueError:
            return any(_dns_name_covers(name, host) for name in self.dns_names)


def read_certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Returns every certificate of a PEM text, in order. Other blocks (a key) are skipped.

    Raises:
        PemError: there is none, one cannot be read, or OpenSSL does not read the text.
    """
    found = labels(pem, "certificate")
    if _TRUSTED in found:
        raise PemError(
            f"holds a block BEGIN {_TRUSTED}, an OpenSSL-only format",
            "convert it: openssl x509 -in FILE -out NEW",
        )
    if not _CERTIFICATES.intersection(found):
        raise PemError(f"holds no readable certificate, but {_listed(found)}")
    number = sum(each in _CERTIFICATES for each in found)
    if number > MAX_CERTIFICATES:
        raise PemError(
            f"holds {number} certificates, more than the {MAX_CERTIFICATES} that are read",
            "keep only the certificates that this link uses",
        )
    try:
        certificates = tuple(x509.load_pem_x509_certificates(pem))
        for each in certificates:
            # cryptography parses names and dates late, so this finds errors in them now.
            name_of(each), each.issuer, each.not_valid_before_utc, each.not_valid_after_utc
    except (ValueError, TypeError, x509.InvalidVersion) as error:
        raise PemError(f"holds no readable certificate ({_first_line(error)})") from error
    return certificates


def read_private_key(pem: bytes) -> PrivateKeyTypes:
    """Returns the private key of a PEM text.

    Raises:
        PemError: there is none, it is encrypted, its kind is unknown, or OpenSSL does not read
            the text.
    """
    found = labels(pem, "private key")
    if not any(each.endswith("PRIVATE KEY") for each in found):
        raise PemError(f"holds no readable private key, but {_listed(found)}")
    try:
        return load_pem_private_key(pem, password=None)
    except TypeError as error:  # documented: the key is encrypted and no password was given
        raise PemError(
            "is encrypted, and a service cannot ask for a passphrase",
            "store the key unencrypted with file mode 0600",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise PemError(f"holds no readable private key ({_first_line(error)})") from error


def facts(certificate: x509.Certificate) -> CertificateFacts:
    """Returns the properties of one certificate.

    Raises:
        PemError: an extension is malformed.
    """
    try:
        return _facts(certificate)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise PemError(f"has an extension that cannot be read ({_first_line(error)})") from error


def _facts(certificate: x509.Certificate) -> CertificateFacts:
    names = _alternative_names(certificate)
    usages = _usages(certificate)
    return CertificateFacts(
        common_name=_common_name(certificate.subject),
        issuer_name=_common_name(certificate.issuer),
        dns_names=tuple(names.get_values_for_type(x509.DNSName)) if names else (),
        uris=tuple(names.get_values_for_type(x509.UniformResourceIdentifier)) if names else (),
        ip_addresses=_addresses(names) if names else (),
        is_for_servers=_allows(usages, ExtendedKeyUsageOID.SERVER_AUTH),
        is_for_clients=_allows(usages, ExtendedKeyUsageOID.CLIENT_AUTH),
    )


def require_usage(certificate: x509.Certificate, *, is_server: bool) -> None:
    """Refuses a certificate that peers refuse at this end of a connection.

    RFC 5280, 4.2.1.12: without an extended key usage, or with `anyExtendedKeyUsage` in it, the
    certificate is for any purpose. An unreadable one is not judged here, see `facts`.

    Raises:
        PemError: its extended key usage names the other end only, or neither.
    """
    try:
        usages = _usages(certificate)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return
    wanted = ExtendedKeyUsageOID.SERVER_AUTH if is_server else ExtendedKeyUsageOID.CLIENT_AUTH
    if not _allows(usages, wanted):
        found = ", ".join(_usage_name(each) for each in usages or ())
        end = "server" if is_server else "client"
        raise PemError(
            f"is not for a {end}: its extended key usage is {found} only",
            f"issue it with {_usage_name(wanted)}, or without an extended key usage",
        )


def name_of(certificate: x509.Certificate) -> str:
    """Returns the certificate's name for people: common name, else subject, else serial."""
    return (
        _common_name(certificate.subject)
        or certificate.subject.rfc4514_string()
        or f"serial {certificate.serial_number:x}"
    )


def issuer_of(certificate: x509.Certificate) -> str:
    """Returns the issuer's name for people: its common name, else its subject."""
    return _common_name(certificate.issuer) or certificate.issuer.rfc4514_string()


def key_matches(certificate: x509.Certificate, key: PrivateKeyTypes) -> bool:
    """Returns whether `key` is the private half of the certificate's key.

    Raises:
        PemError: the certificate's key is of a kind that cannot be used.
    """
    own = public_key_of(certificate)
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == own


def public_key_of(certificate: x509.Certificate) -> bytes:
    """Returns the certificate's public key in DER (SubjectPublicKeyInfo).

    Raises:
        PemError: the key is of a kind that cannot be used.
    """
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise PemError(f"holds a key that cannot be used ({_first_line(error)})") from error
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def may_issue(certificate: x509.Certificate) -> bool:
    """Returns whether clients accept the certificate as an issuer, by its extensions.

    RFC 5280, 6.1.4: it is a CA by its basic constraints, and a key usage, if there is one, has
    keyCertSign. The key can be used.
    """
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        signs = usage.key_cert_sign
    except x509.ExtensionNotFound:
        signs = True
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return False
    try:
        public_key_of(certificate)
        return signs and _is_authority(certificate)
    except PemError:
        return False


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Returns whether, by names and signature, `issuer` made `certificate`. Checks no more."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def is_self_issued(certificate: x509.Certificate) -> bool:
    """Returns whether the certificate is its own issuer, like roots and self-signed servers."""
    return certificate.issuer == certificate.subject and is_issued_by(certificate, certificate)


def _listed(found: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(found))


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


def _common_name(name: x509.Name) -> str | None:
    values = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    # With several values it is unclear which of them is meant.
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


def _usages(certificate: x509.Certificate) -> x509.ExtendedKeyUsage | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None


def _allows(usages: x509.ExtendedKeyUsage | None, wanted: x509.ObjectIdentifier) -> bool:
    return usages is None or any(
        each in usages for each in (wanted, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
    )


def _usage_name(usage: x509.ObjectIdentifier) -> str:
    return _USAGE_NAMES.get(usage, usage.dotted_string)


def _dns_name_covers(name: str, host: str) -> bool:
    wanted = host.lower().removesuffix(".").split(".")
    given = name.lower().removesuffix(".").split(".")
    if given[0] == "*" and len(given) > 2:  # noqa: PLR2004 - RFC 9525: never `*` or `*.com`
        return len(wanted) == len(given) and bool(wanted[0]) and wanted[1:] == given[1:]
    return wanted == given
