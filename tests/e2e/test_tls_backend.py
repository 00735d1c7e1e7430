"""A proxy whose backend speaks TLS under a CA of its own."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.e2e.tls import (
    LOGIN,
    QUICKLY_SECONDS,
    TlsStack,
    another_proxy,
    client_certificate,
    new_authority,
    server_certificate,
    write_identity,
)
from vecguard.tls.authority import Authority

pytestmark = pytest.mark.asyncio(loop_scope="session")

BACKEND_NAME = "milvus.internal"


class Echo(grpc.GenericRpcHandler):
    """Answers with the request, behind the user's name as the proxy gave it."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        user = dict(handler_call_details.invocation_metadata)["x-vecguard-user"]
        return grpc.unary_unary_rpc_method_handler(
            lambda request, _context: user.encode() + b":" + request
        )


@contextmanager
def echoing(authority: Authority, *, mutual: bool = False) -> Iterator[int]:
    """The port of a backend with a certificate for BACKEND_NAME."""
    own = server_certificate(authority, names=(BACKEND_NAME,))
    credentials = grpc.ssl_server_credentials(
        [(own.key.reveal(), own.certificate)],
        root_certificates=authority.issued.certificate if mutual else None,
        require_client_auth=mutual,
    )
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        server.add_generic_rpc_handlers((Echo(),))
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        try:
            yield port
        finally:
            server.stop(grace=None).wait()


async def answer(stack: TlsStack, directory: Path, port: int, **tls: Any) -> bytes:
    """What a call through a proxy with these `backend.tls` settings gets.

    Raises:
        grpc.aio.AioRpcError: it failed.
    """
    settings = {"enabled": True, "serverName": BACKEND_NAME} | tls
    changes = {
        "backend": {
            "address": f"127.0.0.1:{port}",
            "connectTimeout": QUICKLY_SECONDS,
            "tls": settings,
        }
    }
    credentials = grpc.ssl_channel_credentials(stack.authority.issued.certificate)
    options = [("grpc.ssl_target_name_override", "localhost")]
    async with (
        another_proxy(stack.stack, directory, changes) as proxy,
        grpc.aio.secure_channel(proxy.address, credentials, options) as channel,
    ):
        call = channel.unary_unary("/echo.Echo/Say")
        return await call(b"hello", metadata=LOGIN, timeout=2 * QUICKLY_SECONDS)


def trust(directory: Path, authority: Authority) -> dict[str, str]:
    path = directory / "backend-ca.pem"
    path.write_bytes(authority.issued.certificate)
    return {"caPemPath": str(path)}


def own(directory: Path, authority: Authority) -> dict[str, str]:
    certificate, key = write_identity(directory, "backend-client", client_certificate(authority))
    return {"clientPemPath": str(certificate), "clientKeyPath": str(key)}


async def test_the_backend_is_reached_over_one_way_tls_under_its_own_name(
    one_way: TlsStack, tmp_path: Path
):
    authority = new_authority()
    with echoing(authority) as port:
        assert await answer(one_way, tmp_path, port, **trust(tmp_path, authority)) == b"root:hello"


async def test_the_backend_is_reached_over_mutual_tls(one_way: TlsStack, tmp_path: Path):
    authority = new_authority()
    files = trust(tmp_path, authority) | own(tmp_path, authority)
    with echoing(authority, mutual=True) as port:
        assert await answer(one_way, tmp_path, port, **files) == b"root:hello"


async def test_a_backend_of_another_ca_or_name_is_not_spoken_to(one_way: TlsStack, tmp_path: Path):
    authority = new_authority()
    right = trust(tmp_path, authority)
    other = tmp_path / "other"
    other.mkdir()
    with echoing(authority) as port:
        for flaw in (trust(other, new_authority()), right | {"serverName": "localhost"}):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await answer(one_way, tmp_path, port, **flaw)

            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert f"backend 127.0.0.1:{port}" in caught.value.details()
            assert "CERTIFICATE_VERIFY_FAILED" in caught.value.details()


async def test_a_backend_that_wants_a_certificate_is_unavailable_without_one(
    one_way: TlsStack, tmp_path: Path
):
    authority = new_authority()
    right = trust(tmp_path, authority)
    with echoing(authority, mutual=True) as port:
        for files in (right, right | own(tmp_path, new_authority())):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await answer(one_way, tmp_path, port, **files)

            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert f"backend 127.0.0.1:{port}" in caught.value.details()


async def test_a_plaintext_backend_is_unavailable_over_tls(one_way: TlsStack, tmp_path: Path):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answer(
            one_way, tmp_path, one_way.stack.ports.backend, **trust(tmp_path, new_authority())
        )

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
