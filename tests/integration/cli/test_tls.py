import pytest

from tests.integration.cli.command import vecguard, vecguard_process
from tests.integration.cli.installation import Installation

# The output of the stack is read on this loop.
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_users_are_listed_over_mutual_tls(mutual: Installation):
    ended = await vecguard_process("user", "list", *mutual.as_root())
    assert ended.code == 0, ended.all
    assert ended.out == "root\n"


async def test_a_certificate_of_an_unknown_authority_is_named(mutual: Installation):
    ended = await vecguard("user", "list", "--tls", "-a", mutual.address, "--no-login")
    assert ended.code == 3
    assert f"the certificate of {mutual.address} is not accepted" in ended.err
    assert "--ca" in ended.err
    assert "Traceback" not in ended.err


async def test_a_plain_connection_to_an_encrypted_port_ends_with_a_sentence(mutual: Installation):
    ended = await vecguard("user", "list", "-a", mutual.address, "--no-login")
    assert ended.code == 3
    assert ended.err.count("\n") == 1


async def test_a_missing_client_certificate_ends_with_a_sentence(mutual: Installation):
    assert mutual.stack.certificates is not None
    ca = mutual.stack.certificates.directory / "ca.pem"
    ended = await vecguard(
        *("user", "list", "-a", mutual.address, "--no-login"),
        *("--ca", ca, "--server-name", "localhost"),
    )
    assert ended.code == 3
    assert ended.err.count("\n") == 1
    assert "--cert" in ended.err


async def test_a_file_that_is_no_certificate_is_a_usage_error(mutual: Installation):
    ended = await vecguard(
        "user", "list", "-a", mutual.address, "--no-login", "--ca", mutual.root_coord_config
    )
    assert ended.code == 2
    assert "--ca" in ended.err


async def test_status_shows_when_certificates_expire(mutual: Installation):
    ended = await vecguard("status", *mutual.operations, "-o", "json")
    assert ended.code == 0, ended.all
    links = {
        certificate["link"]: certificate["expires_seconds"]
        for process in ended.json["processes"]
        for certificate in process["certificates"]
    }
    assert {"public", "root_coord", "etcd"} <= set(links)
    assert all(seconds > 0 for seconds in links.values())
    shown = await vecguard("status", *mutual.operations)
    assert "public 3" in shown.out, shown.out  # 364 or 365 days


async def test_doctor_looks_at_the_certificates_of_a_configuration(mutual: Installation):
    ended = await vecguard(
        *("doctor", "-a", mutual.address, *mutual.tls, *mutual.operations),
        *("--config", mutual.root_coord_config, "-o", "json"),
    )
    parts = {finding["part"]: finding["severity"] for finding in ended.json["findings"]}
    assert parts["internaltls.server*"] == "good"
    assert parts["etcd.ssl.*"] == "good"
    assert any(part.startswith("etcd 127.0.0.1") for part in parts)
    certificate = [
        f for f in ended.json["findings"] if f["part"] == f"public port {mutual.address}"
    ]
    assert any(finding["cause"].startswith("certificate ") for finding in certificate)


async def test_a_further_client_logs_in_by_a_url(mutual: Installation):
    certs = mutual.stack.certificates.directory
    made = await vecguard("certs", "client", "dave", certs, "-o", "json")
    assert made.code == 0, made.all
    ended = await vecguard_process(
        *("user", "list", "-a", f"https://{mutual.address}", "--ca", certs / "ca.pem"),
        *("--cert", certs / "client-dave.pem", "--key", certs / "client-dave.key"),
        *("--server-name", "localhost"),
        *mutual.as_root()[-4:],
    )
    assert ended.code == 0, ended.all
    assert "root" in ended.out.split()
