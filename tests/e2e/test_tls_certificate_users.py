"""A user whom a client certificate names changes accounts, as long as the user exists."""

import base64
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.e2e.tls import LOGIN, client_certificate, running_tls_stack
from vecguard.config.security import TlsMode
from vecguard.generated.milvus.proto import common
from vecguard.generated.milvus.proto import milvus as pb

pytestmark = pytest.mark.asyncio(loop_scope="session")

_SETTINGS = {
    "common": {"security": {"superUsers": ["super"]}},
    "tls": {"userFromCertificate": "CN"},
}
_PASSWORD = base64.b64encode(b"Another1").decode()


async def test_a_user_from_a_certificate_changes_accounts_until_it_is_deleted(tmp_path: Path):
    async with running_tls_stack(tmp_path, TlsMode.MUTUAL, settings=_SETTINGS) as stack:
        issued = client_certificate(stack.authority, name="super")
        credentials = grpc.ssl_channel_credentials(
            stack.authority.issued.certificate, issued.key.reveal(), issued.certificate
        )
        async with grpc.aio.secure_channel(
            stack.address, credentials, (("grpc.ssl_target_name_override", "localhost"),)
        ) as channel:

            async def ask(name: str, request: Any, metadata: Any = ()) -> int:
                method = channel.unary_unary(f"/milvus.proto.milvus.MilvusService/{name}")
                body = await method(bytes(request), metadata=metadata, timeout=20)
                return common.Status().parse(body).code

            def create(username: str) -> pb.CreateCredentialRequest:
                return pb.CreateCredentialRequest(username=username, password=_PASSWORD)

            assert await ask("CreateCredential", create("super"), LOGIN) == 0
            admin = pb.OperateUserRoleRequest(username="super", role_name="admin")
            assert await ask("OperateUserRole", admin, LOGIN) == 0
            assert await ask("CreateCredential", create("first")) == 0
            # Its own new password ends no certificate: the next call is admitted by this record.
            own = pb.UpdateCredentialRequest(username="super", new_password=_PASSWORD)
            assert await ask("UpdateCredential", own) == 0
            assert await ask("CreateCredential", create("second")) == 0
            delete = pb.DeleteCredentialRequest(username="super")
            assert await ask("DeleteCredential", delete) == 0
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ask("CreateCredential", create("third"))
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
