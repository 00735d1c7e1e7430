"""A login that is revoked makes no change any more, however early its call was begun."""

import grpc
import pytest

from tests.integration.authentication.deployment import authorization, running_deployment
from tests.support.credentials import encoded
from tests.support.raw_http2 import message, request_headers
from vecguard.generated.milvus.proto import milvus as pb

_SERVICE = b"/milvus.proto.milvus.MilvusService/"
_OLD, _NEW = authorization("root", "Milvus"), authorization("root", "Another1")


_CHANGE = pb.UpdateCredentialRequest(
    username="root", old_password=encoded("Milvus"), new_password=encoded("Another1")
)
_CREATE = message(bytes(pb.CreateCredentialRequest(username="eve", password=encoded("evil1234"))))


@pytest.mark.parametrize("sent", [0, len(_CREATE) - 1], ids=["nothing", "all but an octet"])
async def test_a_call_that_was_begun_by_the_old_password_creates_no_user(tmp_path, sent):
    async with (
        running_deployment(tmp_path, {}) as deployment,
        deployment.peer_from("127.0.0.9") as attacker,
        deployment.client() as client,
    ):
        begun = attacker.request(
            request_headers(_SERVICE + b"CreateCredential", (b"authorization", _OLD)),
            body=_CREATE[:sent],
            end=False,
        )
        assert (await client.account("UpdateCredential", _CHANGE, _OLD)).code == 0
        headers, _, _ = await attacker.response(begun)
        assert (b"grpc-status", b"16") in headers
        users = await client.account("ListCredUsers", pb.ListCredUsersRequest(), _NEW)
        assert users.status is grpc.StatusCode.OK
        assert pb.ListCredUsersResponse().parse(users.body).usernames == ["root"]
