import json
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner

from tests.support.certificates import Party, authority, client, issue, pem
from vecguard.cli.__main__ import app
from vecguard.tls.certificates import facts, read_certificates


def run(*arguments):
    return CliRunner().invoke(app, ["certs", *map(str, arguments)])


def findings(result):
    found = json.loads(result.output)
    return found["ok"], {
        (entry["check"], entry["result"]): entry["detail"] for entry in found["findings"]
    }


def put(directory, issued, ca):
    directory.mkdir(exist_ok=True)
    (directory / "cert").write_bytes(issued.certificate)
    (directory / "key").write_bytes(issued.key.reveal())
    (directory / "key").chmod(0o600)
    (directory / "ca").write_bytes(ca.issued.certificate)
    return ("--cert", directory / "cert", "--key", directory / "key", "--ca", directory / "ca")


def test_init_makes_a_set_that_check_finds_good(tmp_path):
    made = run("init", tmp_path, "--san", "milvus.example.com", "--san", "10.0.0.1")
    assert made.exit_code == 0, made.output
    for path in tmp_path.iterdir():
        assert path.name in made.output
    assert "tls.serverPemPath" in made.output
    checked = run("check", tmp_path)
    assert checked.exit_code == 0, checked.output
    assert "✓" in checked.output
    assert "✗" not in checked.output
    assert "server.key matches the certificate" in checked.output
    assert "milvus.example.com, 10.0.0.1" in checked.output


def test_init_follows_its_options(tmp_path):
    options = ("--client-name", "alice", "--days", "7", "--ca-days", "8", "--key-type", "rsa")
    assert run("init", tmp_path, "--internal-san", "coord.internal", *options).exit_code == 0
    (client,) = read_certificates((tmp_path / "client.pem").read_bytes())
    assert facts(client).common_name == "alice"
    assert client.not_valid_after_utc - datetime.now(UTC) == pytest.approx(
        timedelta(days=7), abs=timedelta(minutes=1)
    )
    inside = facts(read_certificates((tmp_path / "internal-server.pem").read_bytes())[0])
    assert inside.covers("coord.internal")
    server = facts(read_certificates((tmp_path / "server.pem").read_bytes())[0])
    assert server.covers("localhost")
    assert server.covers("::1")


def test_init_speaks_json(tmp_path):
    found = json.loads(run("init", tmp_path, "--output", "json").output)
    assert found["ok"]
    modes = {entry["path"]: entry["mode"] for entry in found["files"]}
    assert len(modes) == len(list(tmp_path.iterdir())) == 16
    for path in tmp_path.iterdir():
        assert modes[str(path)] == f"{stat.S_IMODE(path.stat().st_mode):04o}"


def test_init_does_not_overwrite_unless_forced(tmp_path):
    run("init", tmp_path)
    before = (tmp_path / "ca.pem").read_bytes()
    refused = run("init", tmp_path)
    assert refused.exit_code == 2
    assert "already holds ca.key" in refused.output
    assert "--force" in refused.output
    assert (tmp_path / "ca.pem").read_bytes() == before
    assert run("init", tmp_path, "--force").exit_code == 0
    assert (tmp_path / "ca.pem").read_bytes() != before


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_bad_name_is_explained(tmp_path, output):
    result = run("init", tmp_path / "new", "--san", "a b", "--output", output)
    assert result.exit_code == 2
    assert "is not a host name" in result.output
    assert not (tmp_path / "new").exists()
    if output == "json":
        answer = json.loads(result.output)
        assert answer["ok"] is False
        assert answer["reason"] == "tls_authority"


def test_no_name_is_cut_in_a_narrow_terminal(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    made = run("init", tmp_path)
    assert "…" not in made.output
    assert f"vecguard certs check {tmp_path}" in made.output


def test_names_of_files_do_not_steer_the_terminal(tmp_path):
    ca = authority()
    result = run("check", *put(tmp_path / "\x1b[31mred", issue(ca), ca))
    assert "\x1b" not in result.output
    assert "\\x1b[31mred" in result.output


def test_check_names_what_is_wrong_and_what_to_do(tmp_path):
    ca = authority()
    files = put(tmp_path, issue(ca), authority())
    (tmp_path / "key").write_bytes(issue(ca).key.reveal())
    result = run("check", *files, "--name", "other.example.com")
    assert result.exit_code == 1
    for text in (
        "✗ key: key does not match the certificate",
        "✗ chain: does not lead to a CA",
        "✗ names: other.example.com is not among",
        "--san other.example.com",
    ):
        assert text in result.output


def test_check_accepts_a_name_that_is_there(tmp_path):
    ca = authority(days=400)
    result = run("check", *put(tmp_path, issue(ca, days=300), ca), "--name", "127.0.0.1")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("options", "text"),
    [({"days": -1}, "days ago"), ({"now": datetime(2080, 1, 1, tzinfo=UTC)}, "not valid before")],
)
def test_check_reads_the_dates(tmp_path, options, text):
    ca = authority(days=30_000)
    result = run("check", *put(tmp_path, issue(ca, **options), ca), "-o", "json")
    assert result.exit_code == 1
    ok, found = findings(result)
    assert not ok
    assert text in found["dates", "wrong"]


def test_an_end_in_sight_and_a_readable_key_are_warnings_only(tmp_path):
    ca = authority(days=400)
    files = put(tmp_path, issue(ca, days=20), ca)
    (tmp_path / "key").chmod(0o644)
    result = run("check", *files, "-o", "json")
    assert result.exit_code == 0
    ok, found = findings(result)
    assert ok
    assert "expires in" in found["dates", "warning"]
    assert "0644" in found["rights", "warning"]


def expired_twin(ca):
    """The same name and key, but its time is over."""
    old = ca.certificate
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(old.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now - timedelta(days=1))
        .sign(ca.key, old.signature_hash_algorithm)
    )


def test_an_expired_ca_is_found_behind_a_good_certificate(tmp_path):
    ca = authority(days=400)
    files = put(tmp_path, issue(ca, days=300), ca)
    (tmp_path / "ca").write_bytes(expired_twin(ca).public_bytes(Encoding.PEM))
    ok, found = findings(run("check", *files, "-o", "json"))
    assert not ok
    assert "Test CA expired" in found["dates", "wrong"]
    assert "server expires in" in found["dates", "good"]


def put_chain(directory, leaf, *certificates, root, names=("cert", "key", "ca")):
    cert, key, ca = (directory / name for name in names)
    cert.write_bytes(pem(*certificates))
    key.write_bytes(leaf.key_pem)
    key.chmod(0o600)
    ca.write_bytes(pem(*root))
    return ("--cert", cert, "--key", key, "--ca", ca)


def test_what_lies_beside_the_path_is_a_note_and_no_more(tmp_path):
    old, root, inter, leaf = map(Party, ("old", "root", "inter", "leaf"))
    files = put_chain(
        tmp_path,
        leaf,
        inter.certifies(leaf, is_ca=False),
        root.certifies(inter),
        old.certifies(root, begins=-900.0, ends=-300.0),
        root=(root.certifies(root),),
    )
    for options in (files, files[:4]):
        result = run("check", *options, "-o", "json")
        assert result.exit_code == 0, result.output
        _, found = findings(result)
        assert {kind for _, kind in found} == {"good", "note"}
        assert "root expired 300.0 days ago" in found["unused", "note"]
    assert "i unused: 1 certificate unused" in run("check", *files).output


def test_an_expired_intermediate_is_wrong_with_and_without_the_ca(tmp_path):
    root, inter, leaf = map(Party, ("root", "inter", "leaf"))
    files = put_chain(
        tmp_path,
        leaf,
        inter.certifies(leaf, is_ca=False),
        root.certifies(inter, begins=-9.0, ends=-1.0),
        root=(root.certifies(root),),
    )
    for options in (files, files[:4]):
        ok, found = findings(run("check", *options, "-o", "json"))
        assert not ok
        assert "inter expired" in found["dates", "wrong"]


def test_a_ca_file_with_an_old_ca_is_good_while_the_new_one_lasts(tmp_path):
    old, new = Party("old"), Party("new")
    (tmp_path / "ca.pem").write_bytes(
        pem(old.certifies(old, begins=-9.0, ends=-1.0), new.certifies(new))
    )
    (tmp_path / "ca.key").write_bytes(new.key_pem)
    (tmp_path / "ca.key").chmod(0o600)
    result = run("check", tmp_path, "-o", "json")
    assert result.exit_code == 0, result.output
    assert "old expired" in findings(result)[1]["unused", "note"]


def test_what_the_services_refuse_is_wrong_in_the_check(tmp_path):
    root, inter, leaf, other = map(Party, ("root", "inter", "leaf", "other"))
    own = inter.certifies(leaf, is_ca=False)
    foreign = put_chain(tmp_path, leaf, own, other.certifies(other), root=(root.certifies(root),))
    result = run("check", *foreign[:4], "-o", "json")
    assert result.exit_code == 1
    assert "none of them issued the first one" in findings(result)[1]["load", "wrong"]
    weak = Party("leaf", rsa.generate_private_key(65537, 1024))
    small = put_chain(
        tmp_path, weak, inter.certifies(weak, is_ca=False), root=(inter.certifies(inter),)
    )
    result = run("check", *small, "-o", "json")
    assert result.exit_code == 1
    assert "ee key too small" in findings(result)[1]["load", "wrong"]


def test_blocks_without_a_line_end_between_them_are_named(tmp_path):
    root, inter, leaf = map(Party, ("root", "inter", "leaf"))
    middle = root.certifies(inter)
    files = put_chain(tmp_path, leaf, middle, root=(root.certifies(root),))
    glued = pem(inter.certifies(leaf, is_ca=False)).rstrip() + pem(middle)
    (tmp_path / "cert").write_bytes(glued)
    result = run("check", *files)
    assert result.exit_code == 1
    assert "-> put a line end between them" in result.output
    assert result.output.count("->") == 1


@pytest.mark.parametrize(
    ("damage", "advice"),
    [
        (lambda text: text.replace(b" CERT", b" TRUSTED CERT"), "openssl x509 -in FILE -out NEW"),
        (lambda text: b"  " + text, "put the marker alone at the start"),
        (lambda text: text.decode().encode("utf-16"), "save it as ASCII or UTF-8"),
        (lambda text: text[:-40], "copy it again"),
        (lambda text: text.replace(b" CERT", b" PKCS7 CERT"), "with a certificate in PEM"),
    ],
)
def test_a_file_that_cannot_be_read_has_one_remedy(tmp_path, damage, advice):
    (tmp_path / "cert").write_bytes(damage(authority().issued.certificate))
    output = run("check", "--cert", tmp_path / "cert").output
    (line,) = (line for line in output.splitlines() if "->" in line)
    assert advice in line
    assert advice not in output.replace(line, "")


def test_material_for_later_is_good_and_not_even_a_note(tmp_path):
    root, coming, inter, leaf = map(Party, ("root", "next", "inter", "leaf"))
    files = put_chain(
        tmp_path,
        leaf,
        inter.certifies(leaf, is_ca=False),
        root.certifies(inter, begins=5.0, ends=300.0),
        root.certifies(inter),
        root=(root.certifies(root), coming.certifies(coming, begins=5.0, ends=900.0)),
    )
    for options in (files, files[:4]):
        result = run("check", *options, "-o", "json")
        assert result.exit_code == 0, result.output
        assert {kind for _, kind in findings(result)[1]} == {"good"}


@pytest.mark.parametrize(("stem", "peer"), [("server", "clients"), ("client", "servers")])
def test_what_only_a_handshake_shows_is_wrong(tmp_path, stem, peer):
    root, inter, leaf = map(Party, ("root", "inter", "leaf"))
    chain = (inter.certifies(leaf, is_ca=False), root.certifies(inter))
    names = (f"{stem}.pem", f"{stem}.key", "ca.pem")
    short = put_chain(tmp_path, leaf, *chain, root=(root.certifies(root, below=0),), names=names)
    result = run("check", *short, "-o", "json")
    assert result.exit_code == 1
    wrong = findings(result)[1]["handshake", "wrong"]
    assert wrong.startswith(f"{peer} that trust ")
    assert wrong.endswith("refuse the certificate: path length constraint exceeded")
    good = put_chain(tmp_path, leaf, *chain, root=(root.certifies(root, below=1),), names=names)
    result = run("check", *good, "-o", "json")
    assert result.exit_code == 0, result.output
    assert findings(result)[1]["handshake", "good"].startswith(f"{peer} that trust ")


def test_a_handshake_says_nothing_about_faults_that_are_told(tmp_path):
    ca = authority(days=400)
    result = run("check", *put(tmp_path, issue(ca), ca), "--name", "other", "-o", "json")
    assert {check for check, kind in findings(result)[1] if kind == "wrong"} == {"names"}


def test_a_self_signed_server_is_good_for_clients_that_pin_it_and_for_no_others(tmp_path):
    leaf = Party("leaf")
    own, twin = leaf.certifies(leaf, is_ca=False), leaf.certifies(leaf, is_ca=False, ends=200.0)
    assert run("check", *put_chain(tmp_path, leaf, own, root=(own,))).exit_code == 0
    result = run("check", *put_chain(tmp_path, leaf, own, root=(twin,)), "-o", "json")
    assert result.exit_code == 1
    assert "leaf is issued by leaf, which" in findings(result)[1]["chain", "wrong"]


def test_an_issuer_that_is_no_ca_is_named(tmp_path):
    root, inter, leaf = map(Party, ("root", "inter", "leaf"))
    files = put_chain(
        tmp_path,
        leaf,
        inter.certifies(leaf, is_ca=False),
        root.certifies(inter, is_ca=False),
        root=(root.certifies(root),),
    )
    result = run("check", *files, "-o", "json")
    assert result.exit_code == 1
    assert "issued by inter, which clients do not accept" in findings(result)[1]["chain", "wrong"]


@pytest.mark.parametrize(
    ("stem", "key", "warned"),
    [
        ("server", ed25519.Ed25519PrivateKey.generate(), True),
        ("server", ec.generate_private_key(ec.SECP521R1()), True),
        ("server", ec.generate_private_key(ec.SECP384R1()), False),
        ("client", ed25519.Ed25519PrivateKey.generate(), False),
        ("internal-server", ed25519.Ed25519PrivateKey.generate(), False),
    ],
)
def test_a_key_that_clients_cannot_use_is_a_warning(tmp_path, stem, key, warned):
    root, leaf = Party("root"), Party("leaf", key)
    files = put_chain(
        tmp_path,
        leaf,
        root.certifies(leaf, is_ca=False),
        root=(root.certifies(root),),
        names=(f"{stem}.pem", f"{stem}.key", "ca.pem"),
    )
    result = run("check", *files, "-o", "json")
    assert result.exit_code == 0, result.output
    assert (("clients", "warning") in findings(result)[1]) is warned


def test_a_client_key_that_openssl_cannot_use_either_is_wrong(tmp_path):
    root, leaf = Party("root"), Party("leaf", ec.generate_private_key(ec.SECP256K1()))
    own, names = root.certifies(leaf, is_ca=False), ("client.pem", "client.key", "ca.pem")
    files = put_chain(tmp_path, leaf, own, root=(root.certifies(root),), names=names)
    result = run("check", *files, "-o", "json")
    assert result.exit_code == 1
    _, found = findings(result)
    assert ("clients", "warning") in found
    assert ("handshake", "wrong") in found


def test_a_client_certificate_is_not_for_a_server(tmp_path):
    ca = authority(days=400)
    leaf = client(ca, names=("localhost",), days=300)
    result = run("check", *put(tmp_path, leaf, ca), "--name", "localhost", "-o", "json")
    assert result.exit_code == 1
    found = findings(result)[1]
    assert "is not for a server: its extended key usage is clientAuth only" in found["use", "wrong"]
    assert ("load", "wrong") not in found


def test_a_server_certificate_is_not_for_a_client(tmp_path):
    ca = authority(days=400)
    leaf = issue(ca, days=300)
    (tmp_path / "client.pem").write_bytes(leaf.certificate)
    (tmp_path / "client.key").write_bytes(leaf.key.reveal())
    (tmp_path / "client.key").chmod(0o600)
    result = run("check", tmp_path, "-o", "json")
    assert result.exit_code == 0
    found = findings(result)[1]
    assert "its extended key usage is serverAuth only; a server that" in found["use", "warning"]


def test_a_server_certificate_is_not_for_a_proxy_at_root_coord(tmp_path):
    leaf = issue(authority(days=400), days=300)
    (tmp_path / "internal-client.pem").write_bytes(leaf.certificate)
    (tmp_path / "internal-client.key").write_bytes(leaf.key.reveal())
    (tmp_path / "internal-client.key").chmod(0o600)
    result = run("check", tmp_path, "-o", "json")
    assert result.exit_code == 1
    found = findings(result)[1]
    assert "is not for a client: its extended key usage is serverAuth only" in found["use", "wrong"]


def test_a_mounted_secret_of_a_client_is_one_of_a_client(tmp_path):
    ca = authority(days=400)
    leaf = client(ca, days=300)
    (tmp_path / "tls.crt").write_bytes(leaf.certificate)
    (tmp_path / "tls.key").write_bytes(leaf.key.reveal())
    (tmp_path / "tls.key").chmod(0o600)
    (tmp_path / "ca.crt").write_bytes(ca.issued.certificate)
    result = run("check", tmp_path, "-o", "json")
    assert result.exit_code == 0, result.output
    assert ("handshake", "good") in findings(result)[1]


def test_a_server_without_alternative_names_is_wrong(tmp_path):
    ca = authority(days=400)
    (tmp_path / "server.pem").write_bytes(issue(ca, names=()).certificate)
    result = run("check", "--cert", tmp_path / "server.pem", "-o", "json")
    assert result.exit_code == 1
    assert "ignore the common name" in findings(result)[1]["names", "wrong"]


def test_a_mounted_kubernetes_secret_is_understood(tmp_path):
    ca = authority(days=400)
    leaf = issue(ca, days=300)
    (tmp_path / "tls.crt").write_bytes(leaf.certificate)
    (tmp_path / "tls.key").write_bytes(leaf.key.reveal())
    (tmp_path / "tls.key").chmod(0o400)
    (tmp_path / "ca.crt").write_bytes(ca.issued.certificate)
    result = run("check", tmp_path)
    assert result.exit_code == 0, result.output
    assert "chain: server <- Test CA" in result.output


def test_a_missing_key_in_a_directory_is_wrong(tmp_path):
    run("init", tmp_path)
    (tmp_path / "server.key").unlink()
    result = run("check", tmp_path)
    assert result.exit_code == 1
    assert "✗ key: cannot be read: No such file or directory" in result.output


@pytest.mark.parametrize("content", [b"", b"junk", b"\x30\x82\x00\x01"])
def test_an_unreadable_certificate_is_wrong_and_no_traceback(tmp_path, content):
    (tmp_path / "cert").write_bytes(content)
    result = run("check", "--cert", tmp_path / "cert", "-o", "json")
    assert result.exit_code == 1
    assert ("file", "wrong") in findings(result)[1]


@pytest.mark.parametrize(
    "arguments",
    [(), ("--name", "a", "--ca", "x"), ("{dir}", "--ca", "x"), ("{dir}/none",), ("{dir}",)],
)
def test_a_question_that_makes_no_sense_is_a_usage_error(tmp_path, arguments):
    result = run("check", *(each.format(dir=tmp_path) for each in arguments))
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_no_key_reaches_the_output(tmp_path):
    outputs = [run("init", tmp_path, "-o", "json"), run("check", tmp_path)]
    (tmp_path / "server.pem").write_bytes((tmp_path / "server.key").read_bytes())
    outputs.append(run("check", tmp_path))
    secret = (tmp_path / "server.key").read_text().splitlines()[1]
    assert all(secret not in each.output for each in outputs)
