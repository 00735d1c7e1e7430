import asyncio
import ssl
import warnings
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.tls.endpoints import (
    dial,
    dialler,
    listening,
    lone_client,
    refusal,
    server,
)
from tests.support.certificates import KeyKind, authority, client, issue, server_pems
from vecguard.tls.peer import UserPattern, peer_user


@pytest.fixture
def ca():
    return authority("Public CA")


@pytest.fixture
def one_way(tmp_path, ca):
    return server(server_pems(tmp_path / "server", issue(ca)))


@pytest.fixture
def mutual(tmp_path, ca):
    return server(server_pems(tmp_path / "server", issue(ca), ca), mutual=True)


@pytest.mark.parametrize("kind", KeyKind)
@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_a_client_with_the_right_ca_gets_http2_over_tls_1_3(tmp_path, ca, kind, name):
    tls = server(server_pems(tmp_path / "server", issue(ca, kind=kind)))
    context = lone_client(tmp_path / "client", ca)
    async with listening(tls.context) as at, dial(at.port, context, name) as connection:
        assert connection.protocol == ("TLSv1.3", "h2")
        assert await connection.echo()


async def test_mode_1_speaks_tls_1_2(tmp_path, ca, one_way):
    context = lone_client(tmp_path / "client", ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with listening(one_way.context) as at, dial(at.port, context) as connection:
        assert connection.protocol == ("TLSv1.2", "h2")


async def test_mode_1_refuses_tls_1_1(one_way):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with listening(one_way.context) as at:
        assert "PROTOCOL_VERSION" in str(await refusal(at.port, context))


async def test_mode_2_refuses_tls_1_2(tmp_path, ca, mutual):
    context = lone_client(tmp_path / "client", ca, client(ca))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with listening(mutual.context) as at:
        assert "PROTOCOL_VERSION" in str(await refusal(at.port, context))
        assert at.peers == []


async def test_a_client_with_another_ca_refuses_the_server(tmp_path, one_way):
    context = lone_client(tmp_path / "client", authority("Public CA"))
    async with listening(one_way.context) as at:
        error = await refusal(at.port, context)
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert at.peers == []


async def test_an_expired_server_is_refused_and_says_so(tmp_path, ca):
    tls = server(server_pems(tmp_path / "server", issue(ca, days=-1)))
    async with listening(tls.context) as at:
        error = await refusal(at.port, lone_client(tmp_path / "client", ca))
    assert "certificate has expired" in str(error)


async def test_a_server_of_the_future_is_refused_and_says_so(tmp_path, ca):
    issued = issue(ca, now=datetime.now(UTC) + timedelta(days=2))
    tls = server(server_pems(tmp_path / "server", issued))
    async with listening(tls.context) as at:
        error = await refusal(at.port, lone_client(tmp_path / "client", ca))
    assert "not yet valid" in str(error)


async def test_a_server_of_another_name_is_refused_and_says_so(tmp_path, ca, one_way):
    context = lone_client(tmp_path / "client", ca)
    async with listening(one_way.context) as at:
        error = await refusal(at.port, context, "other.example.com")
    assert "Hostname mismatch" in str(error)


async def test_a_server_name_of_its_own_replaces_the_dialled_one(tmp_path, ca):
    issued = issue(ca, names=("milvus.example.com",))
    tls = server(server_pems(tmp_path / "server", issued))
    named = dialler(tmp_path / "a", ca, server_name="milvus.example.com")
    plain = dialler(tmp_path / "b", ca)
    async with listening(tls.context) as at:
        async with dial(at.port, named.context, "127.0.0.1") as connection:
            assert await connection.echo()
        assert "mismatch" in str(await refusal(at.port, plain.context, "127.0.0.1"))


async def test_a_pinned_server_certificate_is_enough_as_in_go(tmp_path, ca, one_way):
    pinned = dialler(tmp_path / "client", ca)
    certificate = (tmp_path / "server" / "own.pem").read_bytes()
    (tmp_path / "client" / "ca.pem").write_bytes(certificate)
    assert pinned.check()
    async with listening(one_way.context) as at, dial(at.port, pinned.context) as connection:
        assert await connection.echo()


async def test_a_client_certificate_is_seen_with_its_names(tmp_path, ca, mutual):
    alice = client(ca, "alice", names=("URI:spiffe://cluster.local/ns/prod/sa/alice-7",))
    context = lone_client(tmp_path / "client", ca, alice)
    pattern = UserPattern.parse("URI:spiffe://cluster.local/ns/*/sa/{user}")
    async with listening(mutual.context) as at, dial(at.port, context):
        (peer,) = at.peers
        assert peer_user(UserPattern.parse("CN"), peer) == "alice"
        assert peer_user(pattern, peer) == "alice-7"


async def test_mode_1_has_no_peer_name(tmp_path, ca, one_way):
    context = lone_client(tmp_path / "client", ca, client(ca, "root"))
    async with listening(one_way.context) as at, dial(at.port, context):
        assert [peer_user(UserPattern.parse("CN"), peer) for peer in at.peers] == [None]


LATER = timedelta(days=2)


@pytest.mark.parametrize(
    ("identity", "told", "counted"),
    [
        pytest.param(
            lambda _ca: None,
            "CERTIFICATE_REQUIRED",
            "PEER_DID_NOT_RETURN_A_CERTIFICATE",
            id="none",
        ),
        pytest.param(
            lambda _ca: client(authority("Public CA")),
            "UNKNOWN_CA",
            "CERTIFICATE_VERIFY_FAILED",
            id="of a foreign CA",
        ),
        pytest.param(
            lambda ca: client(ca, days=-1),
            "CERTIFICATE_EXPIRED",
            "CERTIFICATE_VERIFY_FAILED",
            id="expired",
        ),
        pytest.param(
            lambda ca: client(ca, now=datetime.now(UTC) + LATER),
            "BAD_CERTIFICATE",
            "CERTIFICATE_VERIFY_FAILED",
            id="of the future",
        ),
        pytest.param(
            issue, "UNSUPPORTED_CERTIFICATE", "CERTIFICATE_VERIFY_FAILED", id="for servers"
        ),
    ],
)
async def test_mode_2_refuses_a_client_certificate_in_the_handshake_and_says_why(
    *, tmp_path, ca, mutual, identity, told, counted
):
    context = lone_client(tmp_path / "client", ca)
    if (issued := identity(ca)) is not None:
        # By hand: ours would not show a certificate that is for servers.
        own = server_pems(tmp_path / "own", issued).directory
        context.load_cert_chain(own / "own.pem", own / "own.key")
    async with listening(mutual.context) as at:
        assert told in str(await refusal(at.port, context))
        assert at.peers == []
    assert mutual.handshake_failures == {counted: 1}


async def test_a_plaintext_client_on_a_tls_port_is_ended_at_once(one_way):
    async with listening(one_way.context) as at, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        with suppress(ConnectionError):
            assert b"hello" not in await reader.read()
        writer.close()
        assert at.peers == []
    assert one_way.handshake_failures.total() == 1


async def test_a_tls_client_on_a_plaintext_port_is_ended_at_once(tmp_path, ca):
    context = lone_client(tmp_path / "client", ca)
    async with listening(None) as at, asyncio.timeout(5):
        assert "WRONG_VERSION_NUMBER" in str(await refusal(at.port, context))


async def test_a_client_hears_its_own_reason_and_counts_it(tmp_path, one_way):
    us = dialler(tmp_path / "client", authority("Public CA"))
    async with listening(one_way.context) as at:
        error = await refusal(at.port, us.context)
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert us.handshake_failures == {"CERTIFICATE_VERIFY_FAILED": 1}
