"""A queue of changes ends with the account that asked for them."""

import asyncio
import json

import grpc

from tests.integration.authentication.deployment import authorization, running_deployment
from tests.support.credentials import encoded
from tests.support.waiting import eventually
from vecguard.etcd import EtcdClient
from vecguard.generated.milvus.proto import milvus as pb
from vecguard.milvus_layout import Keys

_ROOT, _SUPER = authorization("root", "Milvus"), authorization("super", "Super123")
_CHANGES = 60
# Passwords are hashed one after the other, and each takes long enough for a queue.
_SETTINGS = {
    "common": {"security": {"superUsers": ["super"]}},
    "authentication": {
        "bcryptCost": 10,
        "verifierThreads": 1,
        "verifierQueue": 500,
        "verifierQueuePerAddress": 500,
        "verifierTimeout": 60,
    },
}


def _create(username):
    return pb.CreateCredentialRequest(username=username, password=encoded("Super123"))


async def test_no_change_of_a_deleted_super_user_is_made_after_the_deletion(tmp_path):
    async with running_deployment(tmp_path, _SETTINGS) as deployment, deployment.client() as client:
        for username in ("super", "victim"):
            answer = await client.account("CreateCredential", _create(username), _ROOT)
            assert (answer.status, answer.code) == (grpc.StatusCode.OK, 0)
        admin = pb.OperateUserRoleRequest(username="super", role_name="admin")
        assert (await client.account("OperateUserRole", admin, _ROOT)).code == 0
        await client.account("ListCredUsers", b"", _SUPER)
        async with EtcdClient([f"127.0.0.1:{deployment.stack.ports.etcd}"]) as etcd:
            users = Keys.of("by-dev", "meta").users.encode()

            async def newest_change():
                found = await etcd.range(users, prefix=True)
                return max(each.mod_revision for each in found.kvs)

            before = await newest_change()
            calls = [
                client.account("CreateCredential", _create(f"new{number}"), _SUPER)
                if number % 2
                else client.account(
                    "UpdateCredential",
                    pb.UpdateCredentialRequest(
                        username="victim", new_password=encoded(f"Taken{number}")
                    ),
                    _SUPER,
                )
                for number in range(_CHANGES)
            ]
            changes = [asyncio.create_task(call) for call in calls]

            async def is_under_way():
                return await newest_change() > before

            await eventually(is_under_way)
            request = pb.DeleteCredentialRequest(username="super")
            deletion = await client.account("DeleteCredential", request, _ROOT)
            assert (deletion.status, deletion.code) == (grpc.StatusCode.OK, 0)
            answers = await asyncio.gather(*changes)
            made = [answer for answer in answers if answer.status is grpc.StatusCode.OK]
            refused = [
                answer for answer in answers if answer.status is grpc.StatusCode.UNAUTHENTICATED
            ]
            assert 0 < len(made) < _CHANGES / 2
            assert len(made) + len(refused) == _CHANGES
            [deleted_at] = [
                entry["revision"]
                for entry in map(json.loads, deployment.audit_file.read_text().splitlines())
                if entry.get("action") == "delete_user"
            ]
            assert await newest_change() < deleted_at
