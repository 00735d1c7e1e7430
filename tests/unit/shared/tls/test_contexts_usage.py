"""Which certificates may be shown by a server, and which by a client."""

import asyncio

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from structlog.testing import capture_logs

from tests.support.certificates import Party, PemFiles, authority, client, issue, pem, server_pems
from tests.support.waiting import eventually
from vecguard.config import load_settings
from vecguard.errors import ConfigurationError
from vecguard.observability.health import HealthReport
from vecguard.tls import connections
from vecguard.tls.contexts import (
    client_context,
    load,
    mutual_client_context,
    mutual_server_context,
    server_context,
)
from vecguard.tls.material import TlsMaterialError
from vecguard.tls.reloading import ReloadingContext
from vecguard.tls.report import register_checks

SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SIGNING = ExtendedKeyUsageOID.CODE_SIGNING
OWN = ObjectIdentifier("1.3.6.1.4.1.99999.1")


def shown(directory, usages):
    root, leaf = Party("root"), Party("leaf")
    pems = PemFiles(directory)
    pems.put("own.pem", pem(root.certifies(leaf, is_ca=False, usages=usages)))
    pems.put("own.key", leaf.key_pem)
    pems.put("ca.pem", pem(root.certifies(root)))
    return pems.files(authorities=True)


@pytest.mark.parametrize(
    "usages",
    [
        pytest.param((), id="none given"),
        pytest.param((SERVER, CLIENT), id="both"),
        pytest.param((ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,), id="any"),
        pytest.param((SIGNING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE), id="any among others"),
    ],
)
@pytest.mark.parametrize(
    "build", [server_context, mutual_server_context, client_context, mutual_client_context]
)
def test_a_certificate_without_a_restriction_is_for_both_ends(tmp_path, build, usages):
    load(shown(tmp_path, usages), build)


@pytest.mark.parametrize(
    ("build", "usages", "said"),
    [
        pytest.param(server_context, (CLIENT,), "server: .* is clientAuth only", id="one-way"),
        pytest.param(
            mutual_server_context, (CLIENT,), "server: .* is clientAuth only", id="mutual"
        ),
        pytest.param(
            mutual_client_context, (SERVER,), "client: .* is serverAuth only", id="mutual client"
        ),
        pytest.param(
            server_context, (SIGNING, OWN), f"codeSigning, {OWN.dotted_string} only", id="neither"
        ),
    ],
)
def test_a_certificate_for_something_else_is_refused_by_file_and_setting(
    tmp_path, build, usages, said
):
    with pytest.raises(TlsMaterialError, match=rf"tls\.serverPemPath: .*own\.pem is not .*{said}"):
        load(shown(tmp_path, usages), build)


@pytest.mark.parametrize("usages", [(SERVER,), (SERVER, SIGNING)])
def test_what_is_for_servers_is_taken_by_them(tmp_path, usages):
    load(shown(tmp_path, usages), server_context)
    load(shown(tmp_path, usages), mutual_server_context)


async def test_a_server_s_certificate_is_taken_by_a_client_that_warns(tmp_path):
    ca = authority()
    server_pems(tmp_path, issue(ca), ca)
    environment = {
        "VECGUARD__BACKEND__TLS__ENABLED": "true",
        "VECGUARD__BACKEND__TLS__CLIENTPEMPATH": str(tmp_path / "own.pem"),
        "VECGUARD__BACKEND__TLS__CLIENTKEYPATH": str(tmp_path / "own.key"),
        "VECGUARD__ETCD__SSL__ENABLED": "true",
        "VECGUARD__ETCD__SSL__TLSCERT": str(tmp_path / "own.pem"),
        "VECGUARD__ETCD__SSL__TLSKEY": str(tmp_path / "own.key"),
    }
    settings = load_settings(None, environment)
    for link in (connections.backend_client(settings), connections.etcd_client(settings)):
        with capture_logs() as logs:
            running = asyncio.create_task(link.run())

            async def has_warned() -> bool:
                return bool(logs)

            await eventually(has_warned)
            running.cancel()
        events = [line["event"] for line in logs]
        assert events.count("tls_client_certificate_not_for_clients") == 1
        warning = logs[events.index("tls_client_certificate_not_for_clients")]
        assert "own.pem is not for a client" in warning["problem"]
        assert not link.check()


def test_a_service_does_not_start_with_the_other_end_s_certificate(tmp_path):
    ca = authority()
    server_pems(tmp_path / "server", issue(ca), ca)
    server_pems(tmp_path / "client", client(ca, names=("localhost",)), ca)
    environment = {
        "VECGUARD__COMMON__SECURITY__TLSMODE": "2",
        "VECGUARD__COMMON__SECURITY__INTERNALTLSENABLED": "true",
        "VECGUARD__TLS__SERVERPEMPATH": str(tmp_path / "client/own.pem"),
        "VECGUARD__TLS__SERVERKEYPATH": str(tmp_path / "client/own.key"),
        "VECGUARD__TLS__CAPEMPATH": str(tmp_path / "client/ca.pem"),
        "VECGUARD__INTERNALTLS__CLIENTPEMPATH": str(tmp_path / "server/own.pem"),
        "VECGUARD__INTERNALTLS__CLIENTKEYPATH": str(tmp_path / "server/own.key"),
        "VECGUARD__INTERNALTLS__SERVERPEMPATH": str(tmp_path / "client/own.pem"),
        "VECGUARD__INTERNALTLS__SERVERKEYPATH": str(tmp_path / "client/own.key"),
        "VECGUARD__INTERNALTLS__CAPEMPATH": str(tmp_path / "server/ca.pem"),
    }
    settings = load_settings(None, environment)
    for link, setting in (
        (connections.public_listener, "tls.serverPemPath"),
        (connections.root_coord_listener, "internaltls.serverPemPath"),
        (connections.root_coord_client, "internaltls.clientPemPath"),
    ):
        with pytest.raises(ConfigurationError, match=f"^{setting}: .*extended key usage"):
            link(settings)


def test_a_rotation_to_the_other_end_s_certificate_is_refused_and_the_old_one_stays(tmp_path):
    ca = authority()
    pems = server_pems(tmp_path, old := issue(ca), ca)
    tls = ReloadingContext(
        pems.files(authorities=True), mutual_server_context, label="public", serves_clients=True
    )
    health = HealthReport()
    register_checks([tls], health)
    before = tls.current()
    pems.put_identity(client(ca, names=("localhost",)))
    with capture_logs() as logs:
        assert not tls.check()
        assert not tls.check()
    assert tls.current() is before
    assert (tls.reloads, tls.failures) == (0, 1)
    assert "extended key usage is clientAuth only" in tls.last_error
    assert [line["event"] for line in logs].count("tls_reload_refused") == 1
    (check,) = health.evaluate().checks
    assert not check.healthy
    assert "the previous ones stay in use: tls.serverPemPath" in check.message
    pems.put_identity(old)
    assert not tls.check()
    assert tls.last_error is None
    pems.put_identity(issue(ca))
    assert tls.check()
