import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.support.certificates import Party, authority, client, issue
from vecguard.tls.authority import Authority, Usage
from vecguard.tls.certificates import (
    MAX_CERTIFICATES,
    facts,
    is_issued_by,
    key_matches,
    may_issue,
    read_certificates,
    read_private_key,
)
from vecguard.tls.path import Paths
from vecguard.tls.pem import PemError

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def one(pem):
    return read_certificates(pem)[0]


def test_facts_of_a_certificate_are_what_was_asked_for():
    ca = Authority.create("Root", now=NOW, days=100)
    names = ("milvus.example.com", "*.example.org", "10.0.0.1", "URI:spiffe://c/ns/a/sa/b")
    certificate = one(issue(ca, "front", names=names, now=NOW, days=5).certificate)
    found = facts(certificate)
    assert found.common_name == "front"
    assert found.issuer_name == "Root"
    assert found.dns_names == ("milvus.example.com", "*.example.org")
    assert found.uris == ("spiffe://c/ns/a/sa/b",)
    assert [str(address) for address in found.ip_addresses] == ["10.0.0.1"]
    assert (found.is_for_servers, found.is_for_clients) == (True, False)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=5)
    assert certificate.not_valid_before_utc < NOW


@pytest.mark.parametrize(
    ("host", "covered"),
    [
        ("a.example.com", True),
        ("A.Example.COM.", True),
        ("b.example.org", True),
        ("example.org", False),
        ("x.b.example.org", False),
        (".example.org", False),
        ("10.0.0.1", True),
        ("10.0.0.2", False),
        ("front", False),
    ],
)
def test_names_are_compared_as_clients_do(host, covered):
    ca = authority()
    leaf = issue(ca, "front", names=("a.example.com", "*.example.org", "10.0.0.1"))
    assert facts(one(leaf.certificate)).covers(host) is covered


@pytest.mark.parametrize("end", [-1, -2, -10, -30, -200])
def test_a_file_cut_off_anywhere_is_said_to_be_cut_off(end):
    ca = authority()
    two = issue(ca).certificate.strip() + b"\n" + ca.issued.certificate.strip()
    assert len(read_certificates(two)) == 2
    with pytest.raises(PemError, match="cut off"):
        read_certificates(two[:end])


def test_a_bundle_cut_off_in_its_second_begin_line_is_said_to_be_cut_off():
    with pytest.raises(PemError, match="cut off"):
        read_certificates(authority().issued.certificate + b"-----BEGIN CERT")


def test_der_is_named_as_such():
    der = authority().certificate.public_bytes(Encoding.DER)
    with pytest.raises(PemError, match="DER, not PEM"):
        read_certificates(der)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"hello", "is not PEM"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no readable"),
    ],
)
def test_what_is_no_certificate_is_refused(content, text):
    with pytest.raises(PemError, match=text):
        read_certificates(content)


@pytest.mark.parametrize(
    ("written", "instead", "read"),
    [
        # The version, 2 for X.509 v3.
        (b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x0f", read_certificates),
        # A bit string as the text of a name, and a name that is not ASN.1.
        (b"\x0c\x06damage", b"\x03\x06\x00amage", read_certificates),
        (b"\x0c\x06damage", b"\x0c\x66damage", read_certificates),
        # The alternative names under the number of the basic constraints, which are there.
        (b"\x55\x1d\x11", b"\x55\x1d\x13", lambda pem: facts(one(pem))),
    ],
)
def test_a_damaged_certificate_is_an_error_in_words(written, instead, read):
    der = Party("CA").certifies(Party("damage"), is_ca=False).public_bytes(Encoding.DER)
    assert written in der
    damaged = base64.encodebytes(der.replace(written, instead))
    pem = b"-----BEGIN CERTIFICATE-----\n" + damaged + b"-----END CERTIFICATE-----\n"
    with pytest.raises(PemError, match=r"cannot be read|no readable certificate"):
        read(pem)


def test_a_key_where_a_certificate_should_be_is_refused():
    with pytest.raises(PemError, match="no readable certificate"):
        read_certificates(authority().issued.key.reveal())


def test_a_certificate_where_a_key_should_be_is_refused():
    with pytest.raises(PemError, match="no readable private key"):
        read_private_key(authority().issued.certificate)


def test_an_encrypted_key_is_refused_with_advice():
    key = ec.generate_private_key(ec.SECP256R1())
    for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
        pem = key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret"))
        with pytest.raises(PemError, match=r"is encrypted.*unencrypted"):
            read_private_key(pem)


def test_certificate_and_key_may_share_a_file():
    issued = issue(authority())
    both = issued.certificate + issued.key.reveal()
    assert key_matches(one(both), read_private_key(both))


def test_a_foreign_key_does_not_match():
    ca = authority()
    assert not key_matches(
        one(issue(ca).certificate), load_pem_private_key(issue(ca).key.reveal(), None)
    )


def intermediate(root: Authority, name="Intermediate"):
    """A CA below a root, which our own Authority does not issue."""
    made = Authority.create(name, now=datetime.now(UTC), days=20)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(made.certificate.subject)
        .issuer_name(root.certificate.subject)
        .public_key(made.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=20))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(root.key, made.certificate.signature_hash_algorithm)
    )
    return Authority(certificate, made.key, made.issued)


def path_to_authority(leaf, intermediates, authorities):
    return Paths((leaf, *intermediates), authorities).to_authority(datetime.now(UTC).timestamp())


def test_a_path_leads_over_intermediates_in_any_order():
    root = authority("Root")
    middle = intermediate(root)
    leaf = one(issue(middle).certificate)
    stray = authority("Stray").certificate
    path = path_to_authority(leaf, [stray, middle.certificate], [root.certificate])
    assert path == (leaf, middle.certificate, root.certificate)


def test_an_intermediate_among_the_authorities_ends_the_path():
    middle = intermediate(authority("Root"))
    leaf = one(issue(middle).certificate)
    assert path_to_authority(leaf, [], [middle.certificate]) == (leaf, middle.certificate)


def test_there_is_no_path_without_the_intermediate_or_to_a_namesake():
    root = authority("Root")
    leaf = one(issue(intermediate(root)).certificate)
    assert path_to_authority(leaf, [], [root.certificate]) is None
    direct = one(issue(root).certificate)
    assert path_to_authority(direct, [], [authority("Root").certificate]) is None
    assert not is_issued_by(direct, authority("Root").certificate)


def test_a_pinned_certificate_is_its_own_path():
    leaf = one(client(authority()).certificate)
    assert path_to_authority(leaf, [], [leaf]) == (leaf,)


def test_a_bundle_of_very_many_certificates_is_refused_with_their_number():
    block = authority().issued.certificate
    assert len(read_certificates(block * MAX_CERTIFICATES)) == MAX_CERTIFICATES
    with pytest.raises(PemError, match=r"holds 1001 certificates, more than the 1000.*; keep"):
        read_certificates(block * (MAX_CERTIFICATES + 1))


def test_only_a_ca_may_issue():
    root, leaf, other = map(Party, ("root", "leaf", "leaf"))
    assert may_issue(root.certifies(root))
    assert not may_issue(root.certifies(leaf, is_ca=False))
    assert not may_issue(one(issue(authority()).certificate))
    own, twin = (leaf.certifies(leaf, is_ca=False, ends=ends) for ends in (100.0, 200.0))
    assert path_to_authority(own, [], [twin]) is None
    assert path_to_authority(own, [], [own]) == (own,)
    assert path_to_authority(leaf.certifies(other, is_ca=False), [], [twin]) is None


def test_a_certificate_for_both_ends_is_for_both():
    found = facts(one(issue(authority(), usage=Usage.BOTH).certificate))
    assert found.is_for_servers
    assert found.is_for_clients
