import subprocess
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from tests.support.certificates import authority, client, issue
from vecguard.tls.authority import Authority, AuthorityError, KeyKind, Usage, parse_name
from vecguard.tls.certificates import read_certificates

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind)


@pytest.mark.parametrize("kind", KeyKind)
def test_a_strict_verifier_accepts_what_is_issued(kind):
    ca = Authority.create("Root", now=NOW, days=30, kind=kind)
    names = [parse_name("a.example.com")]
    leaf = ca.issue("a", usage=Usage.SERVER, now=NOW, days=9, names=names, kind=kind)
    verifier = PolicyBuilder().store(Store([ca.certificate])).time(NOW)
    server = verifier.build_server_verifier(x509.DNSName("a.example.com"))
    assert len(server.verify(read_certificates(leaf.certificate)[0], [])) == 2


def test_a_ca_signs_and_nothing_else():
    ca = authority().certificate
    assert extension(ca, x509.BasicConstraints).critical
    assert extension(ca, x509.BasicConstraints).value == x509.BasicConstraints(True, 0)
    usage = extension(ca, x509.KeyUsage).value
    assert usage.key_cert_sign
    assert not usage.digital_signature


@pytest.mark.parametrize(
    ("usage", "oids"),
    [
        (Usage.SERVER, [ExtendedKeyUsageOID.SERVER_AUTH]),
        (Usage.CLIENT, [ExtendedKeyUsageOID.CLIENT_AUTH]),
        (Usage.BOTH, [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
    ],
)
def test_an_issued_certificate_is_for_its_use_and_no_ca(usage, oids):
    ca = authority()
    leaf = read_certificates(issue(ca, usage=usage).certificate)[0]
    assert list(extension(leaf, x509.ExtendedKeyUsage).value) == oids
    assert not extension(leaf, x509.BasicConstraints).value.ca
    assert not extension(leaf, x509.KeyUsage).value.key_cert_sign
    own = extension(ca.certificate, x509.SubjectKeyIdentifier).value.digest
    assert extension(leaf, x509.AuthorityKeyIdentifier).value.key_identifier == own


def test_a_certificate_is_valid_on_a_machine_whose_clock_is_slow():
    ca = Authority.create("Root", now=NOW, days=30)
    leaf = read_certificates(client(ca, now=NOW).certificate)[0]
    assert leaf.not_valid_before_utc < NOW
    assert ca.certificate.not_valid_before_utc < NOW


def test_two_certificates_have_different_numbers():
    ca = authority()
    one, two = (read_certificates(issue(ca).certificate)[0] for _ in range(2))
    assert one.serial_number != two.serial_number


def test_a_certificate_does_not_outlive_its_ca():
    with pytest.raises(AuthorityError, match="because the CA expires on"):
        issue(authority(days=5), days=6)


def test_a_key_is_not_printed():
    ca = authority()
    issued = issue(ca)
    assert "PRIVATE" not in repr(ca) + repr(issued)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("milvus.example.com", x509.DNSName("milvus.example.com")),
        ("DNS:milvus", x509.DNSName("milvus")),
        ("dns:*.example.com", x509.DNSName("*.example.com")),
        ("URI:spiffe://c/ns/a", x509.UniformResourceIdentifier("spiffe://c/ns/a")),
    ],
)
def test_a_name_is_read_by_its_prefix(text, name):
    assert parse_name(text) == name


@pytest.mark.parametrize("text", ["10.0.0.1", "IP:10.0.0.1", "::1", "IP:2001:db8::1"])
def test_an_address_is_recognised(text):
    assert isinstance(parse_name(text), x509.IPAddress)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "DNS:",
        "DNS:-a",
        "IP:host",
        "IP:",
        "URI:x",
        "*",
        "*.*.a",
        "a..b",
        "münchen.de",
        "a:1",
    ],
)
def test_what_is_no_name_is_refused(text):
    with pytest.raises(AuthorityError):
        parse_name(text)


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb"])
def test_a_common_name_that_cannot_be_is_refused(name):
    with pytest.raises(AuthorityError, match="common name"):
        client(authority(), name)


def test_nothing_starts_another_program(monkeypatch):
    def refuse(*_arguments, **_options):
        raise AssertionError("no openssl call")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    issue(authority())
