"""bcrypt confuses `ab` and `ab\\0ab`; logins with a NUL character are refused."""

import base64

import grpc

from tests.integration.authentication.deployment import authorization, running_deployment
from vecguard.generated.milvus.proto import milvus as pb


async def test_a_login_is_taken_by_its_exact_text_only(tmp_path):
    async with running_deployment(tmp_path, {}) as deployment, deployment.client() as client:
        for password in ("Milvus\0Milvus", "Milvus\0"):
            answer = await client.health(authorization("root", password))
            assert answer.status is grpc.StatusCode.UNAUTHENTICATED
            assert "username and password are correct" in answer.text
        answer = await client.account(
            "ListCredUsers", pb.ListCredUsersRequest(), authorization("root", "Milvus")
        )
        assert answer.status is grpc.StatusCode.OK
        # Six NULs would be the empty password.
        request = pb.CreateCredentialRequest(
            username="eve", password=base64.b64encode(b"\0" * 6).decode()
        )
        root = authorization("root", "Milvus")
        assert (await client.account("CreateCredential", request, root)).code == 1100
