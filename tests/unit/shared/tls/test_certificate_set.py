import os
import stat
from datetime import UTC, datetime

import pytest

from vecguard.tls import certificate_set
from vecguard.tls.authority import AuthorityError
from vecguard.tls.certificate_set import CertificateFilesError, SetRequest, make_set, write_files
from vecguard.tls.certificates import facts, is_issued_by, read_certificates

NOW = datetime(2026, 3, 1, tzinfo=UTC)
STEMS = ("ca", "server", "client")
INSIDE = ("internal-ca", "internal-server", "internal-client", "etcd-server", "etcd-client")


@pytest.fixture(scope="module")
def files():
    return make_set(SetRequest(server_names=("milvus.example.com",), client_name="alice"), NOW)


def certificate(files, name):
    return read_certificates(next(file.content for file in files if file.name == name))[0]


def test_each_link_has_its_files(files):
    wanted = {f"{stem}.{end}" for stem in (*STEMS, *INSIDE) for end in ("key", "pem")}
    assert {file.name for file in files} == wanted


def test_a_certificate_of_the_public_ca_opens_no_door_inside(files):
    inside, public = certificate(files, "internal-ca.pem"), certificate(files, "ca.pem")
    for name in ("server.pem", "client.pem"):
        assert is_issued_by(certificate(files, name), public)
        assert not is_issued_by(certificate(files, name), inside)
    for name in ("internal-server.pem", "internal-client.pem", "etcd-client.pem"):
        assert is_issued_by(certificate(files, name), inside)


def test_each_certificate_has_its_use_and_names(files):
    server = facts(certificate(files, "server.pem"))
    assert server.dns_names == ("milvus.example.com",)
    assert (server.is_for_servers, server.is_for_clients) == (True, False)
    client = facts(certificate(files, "client.pem"))
    assert client.common_name == "alice"
    assert (client.is_for_servers, client.is_for_clients) == (False, True)
    inside = [
        facts(certificate(files, f"{stem}.pem"))
        for stem in ("internal-server", "internal-client", "etcd-client")
    ]
    assert len({each.common_name for each in inside}) == 3
    assert inside[0].covers("127.0.0.1")
    assert facts(certificate(files, "etcd-server.pem")).is_for_clients


def test_a_bad_name_or_duration_makes_nothing():
    with pytest.raises(AuthorityError):
        make_set(SetRequest(server_names=("a b",)), NOW)
    with pytest.raises(AuthorityError, match="because the CA expires on"):
        make_set(SetRequest(days=100, authority_days=99), NOW)


def test_keys_are_for_their_owner_only_whatever_the_umask(files, tmp_path):
    old = os.umask(0)
    try:
        write_files(tmp_path / "new" / "deep", files)
    finally:
        os.umask(old)
    for path in (tmp_path / "new" / "deep").iterdir():
        wanted = 0o600 if path.suffix == ".key" else 0o644
        assert stat.S_IMODE(path.stat().st_mode) == wanted


def test_a_key_is_never_created_with_other_rights(files, tmp_path, monkeypatch):
    seen = {}
    real = os.open

    def watch(path, flags, mode=0o777, **options):
        descriptor = real(path, flags, mode, **options)
        seen[path.name] = (stat.S_IMODE(os.fstat(descriptor).st_mode), flags)
        return descriptor

    monkeypatch.setattr(certificate_set.os, "open", watch)
    write_files(tmp_path, files, replace=True)
    keys = [value for name, value in seen.items() if ".key" in name]
    assert len(keys) == 8
    assert all(mode == 0o600 and flags & os.O_EXCL for mode, flags in keys)


def test_one_file_that_exists_stops_everything(files, tmp_path):
    (tmp_path / "server.pem").write_bytes(b"mine")
    with pytest.raises(CertificateFilesError, match=r"already holds server\.pem.*--force"):
        write_files(tmp_path, files)
    assert [path.name for path in tmp_path.iterdir()] == ["server.pem"]
    assert (tmp_path / "server.pem").read_bytes() == b"mine"


def test_a_dangling_link_counts_as_existing(files, tmp_path):
    (tmp_path / "ca.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CertificateFilesError, match=r"already holds ca\.key"):
        write_files(tmp_path, files)
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_appears_in_the_meantime_is_not_overwritten(files, tmp_path, monkeypatch):
    monkeypatch.setattr(certificate_set.os.path, "lexists", lambda _path: False)
    (tmp_path / "server.pem").write_bytes(b"mine")
    with pytest.raises(CertificateFilesError, match=r"already holds server\.pem"):
        write_files(tmp_path, files)
    assert [path.name for path in tmp_path.iterdir()] == ["server.pem"]
    assert (tmp_path / "server.pem").read_bytes() == b"mine"


def test_replacing_exchanges_all_and_leaves_nothing_behind(files, tmp_path):
    write_files(tmp_path, files)
    (tmp_path / "server.key").chmod(0o644)
    newer = make_set(SetRequest(), NOW)
    write_files(tmp_path, newer, replace=True)
    assert {path.name for path in tmp_path.iterdir()} == {file.name for file in newer}
    assert stat.S_IMODE((tmp_path / "server.key").stat().st_mode) == 0o600
    fresh = read_certificates((tmp_path / "ca.pem").read_bytes())[0]
    assert fresh == certificate(newer, "ca.pem")


def test_a_replaced_certificate_keeps_its_owner_and_mode(files, tmp_path):
    write_files(tmp_path, files)
    former = tmp_path / "server.pem"
    former.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(former, 1, 2)
    before = former.stat()
    umask = os.umask(0o077)
    try:
        write_files(tmp_path, make_set(SetRequest(), NOW), replace=True)
    finally:
        os.umask(umask)
    after = former.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert after.st_ino != before.st_ino


def test_a_failure_half_way_leaves_the_old_files(files, tmp_path, monkeypatch):
    write_files(tmp_path, files)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    real, calls = os.fsync, []

    def fail(descriptor):
        calls.append(descriptor)
        if len(calls) == 5:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(certificate_set.os, "fsync", fail)
    with pytest.raises(CertificateFilesError, match="No space left"):
        write_files(tmp_path, make_set(SetRequest(), NOW), replace=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_path_that_is_a_file_is_a_clear_error(files, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(CertificateFilesError, match="file: cannot be written"):
        write_files(tmp_path / "file", files)
