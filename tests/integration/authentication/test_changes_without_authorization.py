"""Account changes at a proxy without authorization."""

import base64
import json

import grpc
import pytest

from tests.integration.authentication.deployment import authorization, running_deployment
from vecguard.generated.milvus.proto import common
from vecguard.generated.milvus.proto import milvus as pb

_PASSWORD = base64.b64encode(b"Another1").decode()
_CHANGES = {
    "CreateCredential": pb.CreateCredentialRequest(username="eve", password=_PASSWORD),
    "UpdateCredential": pb.UpdateCredentialRequest(username="root", new_password=_PASSWORD),
    "DeleteCredential": pb.DeleteCredentialRequest(username="eve"),
}


def _settings(**more):
    return {"common": {"security": {"authorizationEnabled": False, **more}}}


async def _names(client):
    answer = await client.account("ListCredUsers", pb.ListCredUsersRequest())
    assert answer.status is grpc.StatusCode.OK
    return pb.ListCredUsersResponse().parse(answer.body).usernames


@pytest.mark.parametrize("values", [(), (authorization("root", "Milvus"),)], ids=["no", "a login"])
async def test_changes_are_refused_in_the_reply_and_the_text_names_the_setting(tmp_path, values):
    async with (
        running_deployment(tmp_path, _settings()) as deployment,
        deployment.client() as client,
    ):
        for name, request in _CHANGES.items():
            answer = await client.account(name, request, *values)
            assert answer.status is grpc.StatusCode.OK
            status = common.Status().parse(answer.body)
            assert (status.code, status.error_code) == (1401, common.ErrorCode.UnexpectedError)
            assert "common.security.allowAnonymousChanges" in status.reason
        assert await _names(client) == ["root"]
        outcomes = [
            json.loads(line)["outcome"] for line in deployment.audit_file.read_text().splitlines()
        ]
        assert set(outcomes) == {"anonymous"}


async def test_changes_are_made_where_the_setting_says_so(tmp_path):
    settings = _settings(allowAnonymousChanges=True)
    async with running_deployment(tmp_path, settings) as deployment, deployment.client() as client:
        for name, request in _CHANGES.items():
            answer = await client.account(name, request)
            assert (answer.status, answer.code) == (grpc.StatusCode.OK, 0)
            assert await _names(client) == (
                ["root"] if name == "DeleteCredential" else ["eve", "root"]
            )
