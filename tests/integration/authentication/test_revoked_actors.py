"""A queue of changes ends with the account, or the rights, of the user who asked for them."""

import asyncio
import json

import grpc
import pytest

from tests.integration.authentication.deployment import authorization, running_deployment
from tests.support.credentials import encoded
from tests.support.waiting import eventually
from vecguard.etcd import EtcdClient
from vecguard.generated.milvus.proto import milvus as pb
from vecguard.milvus_layout import Keys

_ROOT, _SUPER = authorization("root", "Milvus"), authorization("super", "Super123")
_CREATE = "CreateOwnership"
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


def _grant(role, kind=pb.OperatePrivilegeType.Grant):
    return pb.OperatePrivilegeV2Request(
        role=pb.RoleEntity(name=role),
        grantor=pb.GrantorEntity(privilege=pb.PrivilegeEntity(name=_CREATE)),
        type=kind,
        db_name="*",
        collection_name="*",
    )


#: What takes the right to create users from super, who has it by the role keeper.
_DEMOTIONS = {
    "take_role": (
        "OperateUserRole",
        pb.OperateUserRoleRequest(
            username="super", role_name="keeper", type=pb.OperateUserRoleType.RemoveUserFromRole
        ),
    ),
    "drop_role": ("DropRole", pb.DropRoleRequest(role_name="keeper", force_drop=True)),
    "revoke": ("OperatePrivilegeV2", _grant("keeper", pb.OperatePrivilegeType.Revoke)),
}


@pytest.mark.parametrize("action", _DEMOTIONS)
async def test_no_change_that_was_admitted_is_made_after_its_actor_lost_the_right(tmp_path, action):
    async with running_deployment(tmp_path, _SETTINGS) as deployment, deployment.client() as client:
        keeper = pb.RoleEntity(name="keeper")
        for method, request in (
            ("CreateCredential", _create("super")),
            ("CreateRole", pb.CreateRoleRequest(entity=keeper)),
            ("OperatePrivilegeV2", _grant("keeper")),
            ("OperateUserRole", pb.OperateUserRoleRequest(username="super", role_name="keeper")),
        ):
            answer = await client.account(method, request, _ROOT)
            assert (answer.status, answer.code) == (grpc.StatusCode.OK, 0), answer
        await client.account("CreateCredential", _create("first"), _SUPER)
        async with EtcdClient([f"127.0.0.1:{deployment.stack.ports.etcd}"]) as etcd:
            users = Keys.of("by-dev", "meta").users.encode()

            async def created():
                return (await etcd.range(users, prefix=True, count_only=True)).count

            before = await created()
            changes = [
                asyncio.create_task(
                    client.account("CreateCredential", _create(f"new{number}"), _SUPER)
                )
                for number in range(_CHANGES)
            ]

            async def is_under_way():
                return await created() > before

            await eventually(is_under_way)
            demotion = await client.account(*_DEMOTIONS[action], _ROOT)
            assert (demotion.status, demotion.code) == (grpc.StatusCode.OK, 0)
            at_acknowledgement = await created()
            answers = await asyncio.gather(*changes)
            assert await created() == at_acknowledgement
            made = [answer for answer in answers if answer.status is grpc.StatusCode.OK]
            assert len(made) == at_acknowledgement - before < _CHANGES / 2
            # The first were admitted, and the later ones were decided after the demotion.
            refused = {answer.status for answer in answers} - {grpc.StatusCode.OK}
            assert grpc.StatusCode.UNAVAILABLE in refused
            assert refused <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED}
            again = await client.account("CreateCredential", _create("again"), _SUPER)
            assert again.status is grpc.StatusCode.PERMISSION_DENIED


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
