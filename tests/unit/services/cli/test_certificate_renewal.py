import json
import stat
import threading
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from vecguard.cli.__main__ import app
from vecguard.cli.certificate_renewal import add_client, renew_expiring
from vecguard.tls.authority import AuthorityError, KeyKind
from vecguard.tls.certificate_set import CertificateFilesError, SetRequest, make_set, write_files
from vecguard.tls.certificates import facts, is_issued_by, read_certificates
from vecguard.tls.contexts import server_context
from vecguard.tls.material import PemFile, TlsFiles, TlsMaterialError, judge, take_snapshot
from vecguard.tls.reloading import ReloadingContext

NOW = datetime.now(UTC).replace(microsecond=0)
MONTH = timedelta(days=30)
LEAVES = {"server", "client", "internal-server", "internal-client", "etcd-server", "etcd-client"}


def run(*arguments):
    return CliRunner().invoke(app, ["certs", *map(str, arguments)])


def made(directory, *, days=10, **request):
    write_files(directory, make_set(SetRequest(days=days, **request), NOW))
    return directory


def leaf(path):
    return read_certificates(path.read_bytes())[0]


def server_files(directory):
    return TlsFiles(
        PemFile(directory / "server.pem", "tls.serverPemPath"),
        PemFile(directory / "server.key", "tls.serverKeyPath"),
    )


@pytest.mark.parametrize("kind", KeyKind)
def test_what_expires_soon_is_renewed_with_the_same_names_usage_and_key(tmp_path, kind):
    made(tmp_path, server_names=("milvus.example.com", "10.0.0.5"), key_kind=kind)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    done = renew_expiring(tmp_path, within=MONTH, days=200, now=NOW)
    assert {each.path.stem for each in done if each.renewed} == LEAVES
    assert not any(each.problem for each in done)
    for each in done:
        old, new = read_certificates(before[each.path])[0], leaf(each.path)
        assert each.expires == new.not_valid_after_utc
        if not each.renewed:
            assert old == new
            continue
        ca = "ca" if each.path.stem in ("server", "client") else "internal-ca"
        assert is_issued_by(new, leaf(tmp_path / f"{ca}.pem"))
        assert new.not_valid_after_utc == NOW + timedelta(days=200)
        assert new.serial_number != old.serial_number
        assert (new.subject, list(new.extensions)) == (old.subject, list(old.extensions))
        assert new.public_key() == old.public_key()
    keys = [path for path in before if path.suffix == ".key"]
    assert all(path.read_bytes() == before[path] for path in keys)
    assert sorted(tmp_path.iterdir()) == sorted(before)
    assert run("check", tmp_path).exit_code == 0


def test_what_lasts_is_left_alone(tmp_path):
    made(tmp_path, days=31)
    before = (tmp_path / "server.pem").read_bytes()
    done = renew_expiring(tmp_path, within=MONTH, days=200, now=NOW)
    assert not any(each.renewed or each.problem for each in done)
    assert (tmp_path / "server.pem").read_bytes() == before


def test_a_running_service_takes_the_renewed_files_up(tmp_path):
    made(tmp_path)
    service = ReloadingContext(server_files(tmp_path), server_context, label="public")
    renew_expiring(tmp_path, within=MONTH, days=200, now=NOW)
    assert service.check()
    assert service.expires_in(NOW.timestamp()) == timedelta(days=200).total_seconds()
    assert (service.reloads, service.failures) == (1, 0)


def test_a_service_that_reads_meanwhile_always_finds_a_pair_that_fits(tmp_path):
    made(tmp_path)
    files, failures, seen, stop = server_files(tmp_path), [], set(), threading.Event()

    def read():
        while not stop.is_set():
            try:
                seen.add(judge(take_snapshot(files)).chain[0].serial_number)
            except TlsMaterialError as error:
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for days in range(1, 21):
            renew_expiring(tmp_path, within=MONTH, days=days, now=NOW)
    finally:
        stop.set()
        reader.join()
    assert not failures
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("missing", "renewed"),
    [
        ({"ca"}, LEAVES - {"server", "client"}),
        ({"internal-ca"}, {"server", "client"}),
        ({"ca", "internal-ca"}, set()),
    ],
)
def test_without_the_key_of_a_ca_its_certificates_are_kept_and_the_key_is_named(
    tmp_path, missing, renewed
):
    made(tmp_path)
    for stem in missing:
        (tmp_path / f"{stem}.key").unlink()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    result = run("renew", tmp_path, "-o", "json")
    assert result.exit_code == 1
    answer = json.loads(result.output)
    assert answer["ok"] is False
    changed = {path.stem for path in tmp_path.iterdir() if path.read_bytes() != before.pop(path)}
    assert changed == renewed
    assert not before
    for each in answer["certificates"]:
        stem = each["path"].rpartition("/")[2].removesuffix(".pem")
        assert each["renewed"] == (stem in renewed)
        if stem in LEAVES - renewed:
            ca = "ca" if stem in ("server", "client") else "internal-ca"
            assert each["problem"].startswith(f"{tmp_path / ca}.key is missing")
        else:
            assert each["problem"] is None


def test_a_client_without_a_file_in_the_directory_is_not_renewed(tmp_path):
    made(tmp_path)
    (tmp_path / "client.pem").unlink()
    done = renew_expiring(tmp_path, within=MONTH, days=20, now=NOW)
    assert {each.path.stem for each in done if each.renewed} == LEAVES - {"client"}
    assert not (tmp_path / "client.pem").exists()


def test_a_ca_key_that_no_certificate_needs_may_stay_away(tmp_path):
    made(tmp_path, days=400)
    for stem in ("ca", "internal-ca"):
        (tmp_path / f"{stem}.key").unlink()
    assert run("renew", tmp_path).exit_code == 0


def test_the_key_of_another_ca_is_refused(tmp_path):
    made(tmp_path / "one")
    made(tmp_path / "two")
    (tmp_path / "two" / "ca.key").replace(tmp_path / "one" / "ca.key")
    with pytest.raises(AuthorityError, match=r"ca\.key: .* does not belong to the CA's cert"):
        renew_expiring(tmp_path / "one", within=MONTH, days=20, now=NOW)


def test_a_certificate_does_not_outlive_its_ca(tmp_path):
    made(tmp_path, authority_days=100)
    result = run("renew", tmp_path, "--days", 101)
    assert result.exit_code == 2
    assert "101 days are too long, because the CA expires" in result.output.replace("\n", " ")
    assert run("renew", tmp_path, "--days", 99).exit_code == 0


def test_an_expired_ca_issues_nothing(tmp_path):
    made(tmp_path, days=1, authority_days=2)
    with pytest.raises(AuthorityError, match="its CA expired on"):
        renew_expiring(tmp_path, within=MONTH, days=1, now=NOW + timedelta(days=3))


def test_what_cannot_be_renewed_is_named_and_the_rest_is_renewed(tmp_path):
    made(tmp_path)
    made(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "server.pem").replace(tmp_path / "server.pem")
    chain = (tmp_path / "client.pem").read_bytes() + (tmp_path / "ca.pem").read_bytes()
    (tmp_path / "client.pem").write_bytes(chain)
    (tmp_path / "notes.pem").write_text("junk")
    result = run("renew", tmp_path, "-o", "json")
    assert result.exit_code == 1
    answer = json.loads(result.output)
    assert answer["ok"] is False
    found = {each["path"].rpartition("/")[2]: each for each in answer["certificates"]}
    assert "'Vecguard CA', which is not a CA of this dir" in found["server.pem"]["problem"]
    assert "more than one certificate" in found["client.pem"]["problem"]
    assert "PEM" in found["notes.pem"]["problem"]
    assert found["etcd-client.pem"]["renewed"] is True


def test_with_two_cas_in_a_file_the_one_of_the_key_issues(tmp_path):
    old, new = made(tmp_path / "old"), made(tmp_path / "new")
    both = (old / "ca.pem").read_bytes() + (new / "ca.pem").read_bytes()
    (new / "ca.pem").write_bytes(both)
    done = renew_expiring(new, within=MONTH, days=20, now=NOW)
    assert {each.path.stem for each in done if each.renewed} == LEAVES


def test_a_ca_that_expires_soon_is_a_problem(tmp_path):
    made(tmp_path, authority_days=20)
    result = run("renew", tmp_path, "--days", 15)
    assert result.exit_code == 1
    assert "a CA is not renewed" in result.output


@pytest.mark.parametrize("directory", ["none", "."])
def test_a_directory_without_certificates_is_refused(tmp_path, directory):
    result = run("renew", tmp_path / directory)
    assert result.exit_code == 2
    assert "holds no *.pem" in result.output


def test_the_report_says_what_expires_when(tmp_path):
    made(tmp_path)
    (line,) = (each for each in run("renew", tmp_path).output.splitlines() if "/server.pem" in each)
    before, after = NOW + timedelta(days=10), datetime.now(UTC) + timedelta(days=365)
    assert line.startswith("✓ ")
    assert line.endswith(f"renewed, expires {after:%Y-%m-%d} (before: {before:%Y-%m-%d})")
    (line,) = (each for each in run("renew", tmp_path).output.splitlines() if "/server.pem" in each)
    assert line.endswith(f"kept, expires {after:%Y-%m-%d}")


@pytest.mark.parametrize("name", ["alice", "server", "rebecca", "etcd-backup"])
def test_a_further_client_gets_a_pair_that_check_finds_good(tmp_path, name):
    made(tmp_path, days=300)
    result = run("client", name, tmp_path, "--days", 200, "--san", "URI:spiffe://c/ns/a/sa/b")
    assert result.exit_code == 0, result.output
    certificate = leaf(tmp_path / f"client-{name}.pem")
    assert is_issued_by(certificate, leaf(tmp_path / "ca.pem"))
    found = facts(certificate)
    assert (found.common_name, found.uris) == (name, ("spiffe://c/ns/a/sa/b",))
    assert (found.is_for_servers, found.is_for_clients) == (False, True)
    assert stat.S_IMODE((tmp_path / f"client-{name}.key").stat().st_mode) == 0o600
    checked = run("check", tmp_path, "-o", "json")
    assert checked.exit_code == 0, checked.output
    mine = {
        (each["check"], each["result"])
        for each in json.loads(checked.output)["findings"]
        if each["file"].endswith(f"/client-{name}.pem")
    }
    assert ("handshake", "good") in mine


def test_a_client_is_not_replaced(tmp_path):
    made(tmp_path)
    add_client(tmp_path, "alice", names=(), days=10, now=NOW)
    before = (tmp_path / "client-alice.key").read_bytes()
    with pytest.raises(CertificateFilesError, match=r"holds client-alice\.key.*certs renew"):
        add_client(tmp_path, "alice", names=(), days=10, now=NOW)
    assert (tmp_path / "client-alice.key").read_bytes() == before


@pytest.mark.parametrize("name", ["../alice", "ca", "x" * 65, "a\nb"])
def test_a_name_that_makes_no_file_is_refused(tmp_path, name):
    made(tmp_path)
    before = sorted(tmp_path.parent.rglob("*"))
    result = run("client", name, tmp_path)
    assert result.exit_code == 2
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_a_client_needs_the_key_of_the_ca(tmp_path):
    made(tmp_path)
    (tmp_path / "ca.key").unlink()
    result = run("client", "alice", tmp_path)
    assert result.exit_code == 2
    assert "ca.key is missing" in result.output.replace("\n", " ")


def test_no_key_reaches_the_output(tmp_path):
    made(tmp_path)
    outputs = [run("client", "alice", tmp_path), run("renew", tmp_path, "-o", "json")]
    secrets = [path.read_text().splitlines()[1] for path in tmp_path.glob("*.key")]
    assert not [each for each in outputs for secret in secrets if secret in each.output]
