import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.certificates import DAY, PemFiles, authority, client, issue, server_pems
from tests.unit.shared.tls.test_certificates import intermediate
from vecguard.errors import ConfigurationError
from vecguard.tls import material
from vecguard.tls.material import PemFile, TlsFiles, TlsMaterialError, judge, take_snapshot


def read(files):
    return judge(take_snapshot(files))


def refused(files, *words):
    with pytest.raises(TlsMaterialError) as caught:
        read(files)
    for word in words:
        assert word in caught.value.message
    assert isinstance(caught.value, ConfigurationError)


def test_a_whole_set_is_accepted(tmp_path):
    ca = authority()
    pems = server_pems(tmp_path, issue(ca), ca)
    found = read(pems.files(authorities=True))
    assert len(found.chain) == 1
    assert found.authorities == (ca.certificate,)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("own.pem", "tls.serverPemPath"),
        ("own.key", "tls.serverKeyPath"),
        ("ca.pem", "tls.caPemPath"),
    ],
)
@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"\x30\x82\x01\x02", "DER"),
        (b"nonsense", "is not PEM"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB", "cut off"),
    ],
)
def test_a_broken_file_is_named_with_its_setting(tmp_path, name, setting, content, word):
    ca = authority()
    pems = server_pems(tmp_path, issue(ca), ca)
    (tmp_path / name).unlink()
    if content is not None:
        pems.put(name, content)
    refused(pems.files(authorities=True), setting, str(tmp_path / name), word)


def test_a_relative_path_is_shown_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    missing = PemFile(Path("tls/ca.pem"), "tls.caPemPath")
    refused(TlsFiles(authorities=missing), f"tls.caPemPath: {tmp_path}/tls/ca.pem does not exist")


def test_a_directory_is_no_file(tmp_path):
    (tmp_path / "own.pem").mkdir(parents=True)
    pems = PemFiles(tmp_path)
    pems.put("own.key", b"x")
    refused(pems.files(), "tls.serverPemPath", "cannot be read", "directory")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_named(tmp_path):
    pems = server_pems(tmp_path, issue(authority()))
    (tmp_path / "own.key").chmod(0)
    refused(pems.files(), "tls.serverKeyPath", "Permission denied")


def test_a_file_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(material, "MAX_FILE_BYTES", 100)
    pems = server_pems(tmp_path, issue(authority()))
    refused(pems.files(), "tls.serverPemPath", "larger than 100 bytes")


def test_a_key_of_another_certificate_names_both_files(tmp_path):
    ca = authority()
    pems = server_pems(tmp_path, issue(ca))
    pems.put("own.key", issue(ca).key.reveal())
    refused(
        pems.files(), "tls.serverKeyPath", "own.key", "does not match", "own.pem", "serverPemPath"
    )


def test_a_new_leaf_above_old_intermediates_is_refused(tmp_path):
    root = authority("Root")
    old, new = intermediate(root, "Old"), intermediate(root, "New")
    pems = PemFiles(tmp_path)
    pems.put_identity(issue(new), old.certificate.public_bytes(Encoding.PEM))
    refused(pems.files(), "none of them issued the first one")
    pems.put_identity(issue(new), new.certificate.public_bytes(Encoding.PEM))
    assert len(read(pems.files()).chain) == 2


def test_a_certificate_without_its_key_is_refused(tmp_path):
    file = PemFile(tmp_path / "own.pem", "etcd.ssl.tlsCert")
    with pytest.raises(TlsMaterialError, match=r"etcd\.ssl\.tlsCert.*without a key"):
        TlsFiles(certificate=file)
    with pytest.raises(TlsMaterialError, match="without a certificate"):
        TlsFiles(key=file)


def test_an_expired_certificate_is_accepted(tmp_path):
    pems = server_pems(tmp_path, issue(authority(), days=-1))
    now = datetime.now(UTC).timestamp()
    assert read(pems.files()).validity.ends(now) == pytest.approx(now - DAY, abs=60)


def test_a_set_ends_with_its_first_own_certificate_or_its_last_ca(tmp_path):
    short, long = authority("Short", days=2), authority("Long", days=20)
    now = datetime.now(UTC).timestamp()
    pems = server_pems(tmp_path, issue(long, days=10), short, long)
    end = read(pems.files(authorities=True)).validity.ends(now)
    assert end == pytest.approx(now + 10 * DAY, abs=60)
    pems.put_authorities(short)
    end = read(pems.files(authorities=True)).validity.ends(now)
    assert end == pytest.approx(now + 2 * DAY, abs=60)
    assert read(TlsFiles()).validity.ends(now) is None


def test_comments_in_any_language_are_allowed_in_a_ca_file(tmp_path):
    ca = authority()
    pems = PemFiles(tmp_path)
    pems.put("ca.pem", "# Schlüssel für Köln\n".encode() + ca.issued.certificate)
    assert read(pems.files(identity=False, authorities=True)).authorities == (ca.certificate,)


def test_the_digest_follows_content_and_absence(tmp_path):
    pems = server_pems(tmp_path, issue(authority()))
    files = pems.files()
    first = take_snapshot(files).digest
    content = (tmp_path / "own.pem").read_bytes()
    pems.put("own.pem", content)
    assert take_snapshot(files).digest == first
    (tmp_path / "own.pem").unlink()
    assert take_snapshot(files).digest != first


def test_bytes_that_move_from_one_file_to_the_next_change_the_digest(tmp_path):
    pems = PemFiles(tmp_path)
    pems.put("own.pem", b"ab")
    pems.put("own.key", b"c")
    first = take_snapshot(pems.files()).digest
    pems.put("own.pem", b"a")
    pems.put("own.key", b"bc")
    assert take_snapshot(pems.files()).digest != first


def test_a_snapshot_does_not_print_its_key(tmp_path):
    pems = server_pems(tmp_path, client(authority(), now=datetime.now(UTC) - timedelta(days=1)))
    assert "PRIVATE" not in repr(take_snapshot(pems.files()))
