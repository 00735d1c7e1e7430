"""Certificates and their files for tests."""

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from vecguard.tls.authority import Authority, Issued, KeyKind, Usage, parse_name
from vecguard.tls.material import PemFile, TlsFiles

DAY = 86_400.0


def authority(name="Test CA", *, days=30):
    return Authority.create(name, now=datetime.now(UTC), days=days)


def issue(
    ca: Authority,
    name="server",
    *,
    usage=Usage.SERVER,
    names=("localhost", "127.0.0.1"),
    days=10.0,
    now=None,
    kind=KeyKind.EC,
) -> Issued:
    return ca.issue(
        name,
        usage=usage,
        now=now or datetime.now(UTC),
        days=days,
        names=[parse_name(each) for each in names],
        kind=kind,
    )


def client(ca: Authority, name="alice", *, names=(), days=10.0, now=None) -> Issued:
    return issue(ca, name, usage=Usage.CLIENT, names=names, days=days, now=now)


class Party:
    """A subject with a key of any kind, which signs certificates with any dates."""

    def __init__(self, name, key=None):
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.key = key or ec.generate_private_key(ec.SECP256R1())

    def certifies(self, subject, *, begins=-1.0, ends=100.0, is_ca=True, below=None, usages=()):
        """Returns a certificate for `subject`.

        `begins` and `ends` are days from now; `below` limits the CA levels below it. It has an
        extended key usage if `usages` are given.
        """
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject.name)
            .issuer_name(self.name)
            .public_key(subject.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=begins))
            .not_valid_after(now + timedelta(days=ends))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=below), critical=True)
        )
        if not is_ca:
            names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
            builder = builder.add_extension(names, critical=False)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        # An Edwards curve has its hash built in.
        edwards = isinstance(self.key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
        return builder.sign(self.key, None if edwards else SHA256())

    @property
    def key_pem(self):
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def pem(*all_certificates):
    return b"".join(each.public_bytes(Encoding.PEM) for each in all_certificates)


class PemFiles:
    """The TLS files of one end of a connection, in their own directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def put(self, name: str, content: bytes) -> Path:
        """Replaces a file by renaming a new one."""
        temporary = self.directory / f".{secrets.token_hex(4)}"
        temporary.write_bytes(content)
        return temporary.replace(self.directory / name)

    def put_identity(self, issued: Issued, *more: bytes) -> None:
        self.put("own.pem", issued.certificate + b"".join(more))
        self.put("own.key", issued.key.reveal())

    def put_authorities(self, *authorities: Authority) -> None:
        self.put("ca.pem", b"".join(each.issued.certificate for each in authorities))

    def files(self, *, identity=True, authorities=False) -> TlsFiles:
        return TlsFiles(
            PemFile(self.directory / "own.pem", "tls.serverPemPath") if identity else None,
            PemFile(self.directory / "own.key", "tls.serverKeyPath") if identity else None,
            PemFile(self.directory / "ca.pem", "tls.caPemPath") if authorities else None,
        )


def server_pems(directory: Path, issued: Issued, *authorities: Authority) -> PemFiles:
    pems = PemFiles(directory)
    pems.put_identity(issued)
    if authorities:
        pems.put_authorities(*authorities)
    return pems
