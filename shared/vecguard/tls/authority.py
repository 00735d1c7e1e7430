"""Issues the certificates of `vecguard certs` and of the tests."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vecguard.errors import ConfigurationError
from vecguard.secret import Secret
from vecguard.tls.certificates import key_matches, name_of, read_certificates, read_private_key

#: Machines whose clock is a little slow must accept a certificate that was just made.
BACKDATE = timedelta(hours=1)
MAX_COMMON_NAME = 64  # RFC 5280, appendix A: ub-common-name

_DNS_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_DNS_NAME = re.compile(rf"(\*\.)?{_DNS_LABEL}(\.{_DNS_LABEL})*\.?")

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class AuthorityError(ConfigurationError):
    """A certificate cannot be issued as requested."""

    reason = "tls_authority"


class KeyKind(Enum):
    """The kind of a private key. OpenSSL, BoringSSL (gRPC) and Go understand both."""

    EC = "ec"
    RSA = "rsa"

    def generate(self) -> PrivateKey:
        """Returns a new private key: P-256, or RSA with 2048 bits."""
        if self is KeyKind.EC:
            return ec.generate_private_key(ec.SECP256R1())
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Usage(Enum):
    """The ends of a connection that a certificate is for."""

    SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
    CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
    #: etcd shows its server certificate as a client too, to its own gateway and its peers.
    BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True, slots=True)
class Issued:
    """Holds a certificate with its key, both PEM."""

    certificate: bytes
    key: Secret[bytes]


@dataclass(frozen=True, slots=True)
class Authority:
    """Holds a CA: its certificate and its private key."""

    certificate: x509.Certificate
    key: PrivateKey
    issued: Issued

    def __repr__(self) -> str:
        return f"<Authority {self.certificate.subject.rfc4514_string()}>"

    @classmethod
    def create(
        cls, common_name: str, *, now: datetime, days: int, kind: KeyKind = KeyKind.EC
    ) -> Self:
        """Returns a new root that may issue end certificates and no further CAs.

        Args:
            common_name: the CA's name, at most 64 characters.
            now: the time of issue, with a time zone.
            days: its validity from `now`, in days.
            kind: the kind of its key.

        Raises:
            AuthorityError: the name or the duration cannot be used.
        """
        key = kind.generate()
        name = _name(common_name)
        builder = (
            _builder(name, name, key.public_key(), now, days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True, kind=key), critical=True)
            .add_extension(_own_identifier(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()),
                critical=False,
            )
        )
        certificate = builder.sign(key, SHA256())
        return cls(certificate, key, _issued(certificate, key))

    @classmethod
    def of(cls, certificates: bytes, key: Secret[bytes]) -> Self:
        """Returns the CA of existing files.

        Args:
            certificates: PEM. Of several CAs, as while one replaces another, it is the one that
                the key belongs to.
            key: the CA's private key, PEM.

        Raises:
            PemError: a text cannot be read.
            AuthorityError: the key is not EC or RSA, or belongs to none of the certificates.
        """
        private = read_private_key(key.reveal())
        if not isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise AuthorityError("the CA's key is neither EC nor RSA")
        for certificate in read_certificates(certificates):
            if key_matches(certificate, private):
                return cls(certificate, private, _issued(certificate, private))
        raise AuthorityError("the CA's key does not belong to the CA's certificate")

    @property
    def kind(self) -> KeyKind:
        """The kind of its key."""
        return KeyKind.RSA if isinstance(self.key, rsa.RSAPrivateKey) else KeyKind.EC

    def issue(
        self,
        common_name: str,
        *,
        usage: Usage,
        now: datetime,
        days: float,
        names: Sequence[x509.GeneralName] = (),
        kind: KeyKind = KeyKind.EC,
    ) -> Issued:
        """Returns a new key with a certificate for it.

        Args:
            common_name: the subject, at most 64 characters.
            usage: server, client or both.
            now: the time of issue, with a time zone.
            days: its validity from `now`, in days; negative makes an expired one (for tests).
            names: subject alternative names; see `parse_name`.
            kind: the kind of its key.

        Raises:
            AuthorityError: the name or the duration cannot be used, or the CA expires earlier.
        """
        self._require_outlives(common_name, now, days)
        key = kind.generate()
        name = _name(common_name)
        builder = (
            _builder(name, self.certificate.subject, key.public_key(), now, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False, kind=key), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usage.value), critical=False)
            .add_extension(_own_identifier(key), critical=False)
            .add_extension(_issuer_identifier(self.certificate), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return _issued(builder.sign(self.key, SHA256()), key)

    def renew(self, certificate: x509.Certificate, *, now: datetime, days: float) -> bytes:
        """Returns a new certificate, PEM, for the same subject, names, usage and key.

        Args:
            certificate: an end certificate that this CA issued.
            now: the time of issue, with a time zone.
            days: its validity from `now`, in days.

        Raises:
            AuthorityError: the CA expires earlier.
        """
        self._require_outlives(name_of(certificate), now, days)
        builder = _builder(
            certificate.subject, self.certificate.subject, certificate.public_key(), now, days
        )
        for extension in certificate.extensions:
            builder = builder.add_extension(extension.value, critical=extension.critical)
        return builder.sign(self.key, SHA256()).public_bytes(Encoding.PEM)

    def _require_outlives(self, name: str, now: datetime, days: float) -> None:
        end = self.certificate.not_valid_after_utc
        if now >= end:
            raise AuthorityError(
                f"{name}: its CA expired on {end:%Y-%m-%d}; make new CAs with: vecguard certs init"
            )
        if now + timedelta(days=days) > end:
            raise AuthorityError(
                f"{name}: {days:g} days are too long, because the CA expires on {end:%Y-%m-%d}; "
                "ask for fewer with --days, or make new CAs with: vecguard certs init"
            )


def parse_name(text: str) -> x509.GeneralName:
    """Parses a subject alternative name: `DNS:host`, `IP:address`, `URI:...`, a host or address.

    Raises:
        AuthorityError: the text has none of these forms.
    """
    kind, colon, value = text.partition(":")
    if colon and kind.upper() == "URI":
        return _uri(value)
    if colon and kind.upper() == "DNS":
        return _dns(value)
    bare = value if colon and kind.upper() == "IP" else text
    try:
        return x509.IPAddress(ipaddress.ip_address(bare))
    except ValueError:
        if bare is value:
            raise AuthorityError(f"{text!r}: {value!r} is not an IP address") from None
    return _dns(text)


def _dns(value: str) -> x509.DNSName:
    if not _DNS_NAME.fullmatch(value):
        raise AuthorityError(
            f"{value!r} is not a host name; give DNS:host, IP:address or URI:..., "
            "and names outside ASCII in their xn-- form"
        )
    return x509.DNSName(value)


def _uri(value: str) -> x509.UniformResourceIdentifier:
    if "://" not in value or not value.isascii() or not value.isprintable():
        raise AuthorityError(f"{value!r} is not a URI such as spiffe://cluster/ns/a/sa/b")
    return x509.UniformResourceIdentifier(value)


def _name(common_name: str) -> x509.Name:
    if not 1 <= len(common_name) <= MAX_COMMON_NAME or not common_name.isprintable():
        raise AuthorityError(
            f"{common_name!r} cannot be a common name: 1 to {MAX_COMMON_NAME} printable characters"
        )
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: CertificatePublicKeyTypes,
    now: datetime,
    days: float,
) -> x509.CertificateBuilder:
    end = now + timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, end) - BACKDATE)
        .not_valid_after(end)
    )


def _key_usage(*, authority: bool, kind: PrivateKey) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        # Old servers decrypt keys of TLS 1.2 clients with their RSA key; an EC key cannot do that.
        key_encipherment=not authority and isinstance(kind, rsa.RSAPrivateKey),
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _own_identifier(key: PrivateKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _issuer_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        key = issuer.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            raise AuthorityError("the CA's key is neither EC nor RSA") from None
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)


def _issued(certificate: x509.Certificate, key: PrivateKey) -> Issued:
    return Issued(
        certificate=certificate.public_bytes(Encoding.PEM),
        key=Secret(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())),
    )
