"""What OpenSSL sees of the public port: who is refused, why, and how soon."""

import asyncio
import ssl
from typing import Any

import pytest

from deploy.local.stack import LocalStack
from tests.e2e.tls import (
    DAY,
    TlsStack,
    client_certificate,
    client_context,
    knock,
    metric,
    new_authority,
    server_certificate,
    serving,
    write_identity,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

TLS_1_2 = ssl.TLSVersion.TLSv1_2


def identity(stack: TlsStack, **changes: Any) -> Any:
    return write_identity(
        stack.identity_directory, "raw", client_certificate(stack.authority, **changes)
    )


async def test_mode_1_accepts_tls_1_2_and_1_3(one_way: TlsStack):
    newest = await knock(one_way.port, client_context(one_way.authority))
    older = await knock(one_way.port, client_context(one_way.authority, maximum=TLS_1_2))

    assert (newest.version, older.version) == ("TLSv1.3", "TLSv1.2")


async def test_mode_2_accepts_only_tls_1_3(mutual: TlsStack):
    own = identity(mutual)
    newest = await knock(mutual.port, client_context(mutual.authority, own))

    with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        await knock(mutual.port, client_context(mutual.authority, own, maximum=TLS_1_2))
    assert newest.version == "TLSv1.3"


async def test_mode_2_refuses_a_client_without_a_certificate_during_the_handshake(
    mutual: TlsStack,
):
    proxy = mutual.stack.proxies[0]
    sample = (
        'vecguard_tls_handshake_failures_total{link="public",'
        'reason="PEER_DID_NOT_RETURN_A_CERTIFICATE"}'
    )
    before = await metric(proxy, sample)

    with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"):
        await knock(mutual.port, client_context(mutual.authority))
    assert await metric(proxy, sample) == before + 1


@pytest.mark.parametrize(
    ("flaw", "alert"),
    [({"days": -1}, "certificate.expired"), ({"start": DAY}, "bad.certificate")],
    ids=["expired", "not yet valid"],
)
async def test_mode_2_refuses_a_client_certificate_out_of_its_time(
    mutual: TlsStack, flaw: dict[str, Any], alert: str
):
    own = identity(mutual, **flaw)

    with pytest.raises(ssl.SSLError, match=f"(?i){alert}"):
        await knock(mutual.port, client_context(mutual.authority, own))


async def test_mode_2_refuses_a_foreign_client_certificate(mutual: TlsStack):
    # Under the same name, as if the CA was made again.
    other = new_authority("Vecguard CA")
    own = write_identity(mutual.identity_directory, "foreign", client_certificate(other))

    with pytest.raises(ssl.SSLError, match=r"(?i)unknown.ca|decrypt.error"):
        await knock(mutual.port, client_context(mutual.authority, own))


async def test_mode_2_refuses_a_certificate_of_the_internal_ca(mutual: TlsStack):
    own = (mutual.certs / "internal-client.pem", mutual.certs / "internal-client.key")

    with pytest.raises(ssl.SSLError, match=r"(?i)unknown.ca"):
        await knock(mutual.port, client_context(mutual.authority, own))


async def test_mode_2_refuses_a_certificate_that_is_for_servers(mutual: TlsStack):
    own = write_identity(mutual.identity_directory, "server", server_certificate(mutual.authority))

    with pytest.raises(ssl.SSLError, match=r"(?i)unsupported.certificate"):
        await knock(mutual.port, client_context(mutual.authority, own))


async def test_a_client_refuses_a_server_of_another_ca(one_way: TlsStack):
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        await knock(one_way.port, client_context(new_authority()))


async def test_a_client_refuses_a_server_of_another_name(one_way: TlsStack):
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        await knock(one_way.port, client_context(one_way.authority), "milvus.example.com")


@pytest.mark.parametrize(
    ("flaw", "complaint"),
    [({"days": -1}, "certificate has expired"), ({"start": DAY}, "certificate is not yet valid")],
    ids=["expired", "not yet valid"],
)
async def test_a_client_refuses_a_server_certificate_out_of_its_time(
    one_way: TlsStack, flaw: dict[str, Any], complaint: str
):
    async with serving(one_way, server_certificate(one_way.authority, **flaw)):
        with pytest.raises(ssl.SSLCertVerificationError, match=complaint):
            await knock(one_way.port, client_context(one_way.authority))


@pytest.mark.parametrize("mode", ["one_way", "mutual"])
async def test_a_plaintext_client_on_the_tls_port_is_hung_up_on_at_once(
    mode: str, request: pytest.FixtureRequest
):
    stack: TlsStack = request.getfixturevalue(mode)

    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await knock(stack.port, None)


async def test_a_tls_client_on_a_plaintext_port_is_told_at_once(
    stack: LocalStack, one_way: TlsStack
):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await knock(stack.ports.proxies[0].public, client_context(one_way.authority))
