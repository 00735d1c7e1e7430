"""Proxy to root coord and root coord to etcd: who gets in, and what the others read."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.tls import (
    QUICKLY_SECONDS,
    TlsStack,
    another_proxy,
    another_root_coord,
    client_certificate,
    client_context,
    health_check,
    knock,
    new_authority,
    until_said,
    write_identity,
)
from vecguard.addresses import Address
from vecguard.errors import UnavailableError, VecguardError
from vecguard.etcd import EtcdClient
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.channel import Channel, translated_errors

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROXY = "vecguard-proxy"


def identity(stack: TlsStack, name: str = PROXY, *, foreign: bool = False) -> tuple[Path, Path]:
    authority = new_authority("Vecguard internal CA") if foreign else stack.inside
    return write_identity(
        stack.identity_directory, "inside", client_certificate(authority, name=name)
    )


async def users(stack: TlsStack, own: tuple[Path, Path] | None) -> list[str]:
    """Asks root coord what only a proxy may ask."""
    channel = Channel(
        Address.parse(stack.stack.root_coord.address), tls=client_context(stack.inside, own)
    )
    try:
        async with asyncio.timeout(QUICKLY_SECONDS):
            with translated_errors("root coord"):
                reply = await pb.RootCoordStub(channel).list_users(pb.ListUsersRequest())
                return [each.username for each in reply.users]
    finally:
        channel.close()


async def test_root_coord_answers_a_proxy_with_a_certificate_of_the_internal_ca(mutual: TlsStack):
    assert "root" in await users(mutual, identity(mutual))


async def test_root_coord_refuses_callers_without_a_certificate(mutual: TlsStack):
    with pytest.raises(UnavailableError):
        await users(mutual, None)
    with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"):
        await knock(mutual.stack.ports.root_coord, client_context(mutual.inside))


async def test_root_coord_refuses_a_foreign_certificate(mutual: TlsStack):
    with pytest.raises(UnavailableError):
        await users(mutual, identity(mutual, foreign=True))


async def test_root_coord_refuses_plaintext(mutual: TlsStack):
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await knock(mutual.stack.ports.root_coord, None)


async def test_root_coord_refuses_names_that_are_not_allowed(mutual: TlsStack):
    etcds = (mutual.certs / "etcd-client.pem", mutual.certs / "etcd-client.key")

    for own in (identity(mutual, "somebody-else"), etcds):
        with pytest.raises(VecguardError, match="none of the allowed names"):
            await users(mutual, own)


@pytest.mark.parametrize(
    ("who", "complaint"),
    [
        ("foreign", "cannot be reached"),
        ("not allowed", "none of the allowed names"),
        ("plaintext", "cannot be reached"),
    ],
)
async def test_a_proxy_that_is_not_let_in_gets_no_session_and_says_why(
    mutual: TlsStack, tmp_path: Path, who: str, complaint: str
):
    name = "somebody-else" if who == "not allowed" else PROXY
    certificate, key = identity(mutual, name, foreign=who == "foreign")
    changes: dict[str, Any] = {
        "internaltls": {"clientPemPath": str(certificate), "clientKeyPath": str(key)}
    }
    if who == "plaintext":
        changes = {"common": {"security": {"internaltlsEnabled": False}}}

    async with another_proxy(mutual.stack, tmp_path, changes, ready=False) as proxy:
        await until_said(proxy, "session_failed", complaint)
        check = await health_check(proxy, "root_coord")

    assert not check["healthy"]
    assert not any("session_opened" in line for line in proxy.recent_lines)


async def test_etcd_refuses_whoever_has_no_certificate(mutual: TlsStack):
    endpoint = f"127.0.0.1:{mutual.stack.ports.etcd}"
    own = (mutual.certs / "etcd-client.pem", mutual.certs / "etcd-client.key")
    contexts = {
        "right": client_context(mutual.inside, own),
        "none": client_context(mutual.inside),
        "plaintext": None,
    }
    found = {}
    for name, context in contexts.items():
        async with EtcdClient([endpoint], ssl=context, request_timeout_seconds=5) as client:
            try:
                found[name] = (await client.range(b"no-such-key")).count
            except VecguardError:
                found[name] = "refused"

    assert found == {"right": 0, "none": "refused", "plaintext": "refused"}


@pytest.mark.parametrize("flaw", ["foreign", "none"])
async def test_a_root_coord_that_etcd_refuses_says_so(mutual: TlsStack, tmp_path: Path, flaw: str):
    certificate, key = identity(mutual, "vecguard-etcd-client", foreign=True)
    ssl_settings = {"tlsCert": str(certificate), "tlsKey": str(key)}
    if flaw == "none":
        ssl_settings = {"tlsCert": "", "tlsKey": ""}
    changes = {"etcd": {"ssl": ssl_settings, "requestTimeout": 1000}}

    async with another_root_coord(mutual.stack, tmp_path, changes) as root_coord:
        await until_said(
            root_coord, "etcd", str(mutual.stack.ports.etcd), "may refuse the client's certificate"
        )
