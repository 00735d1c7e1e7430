"""Roles of methods in front of a gRPC service that is not Milvus, given and taken meanwhile."""

import asyncio
import json
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest

from tests.integration.authentication.deployment import authorization, running_deployment
from tests.support.audit_schema import violations
from tests.support.credentials import encoded
from tests.support.echo_backend import echo_backend
from tests.support.waiting import eventually
from vecguard.generated.milvus.proto import milvus as pb

ROOT, BOB = authorization("root", "Milvus"), authorization("bob", "secret1")
ENTRIES = {"/qdrant.Points/*": ["writer", "admin"], "/qdrant.Points/Open": "reader"}


@pytest.fixture
async def backend():
    async with echo_backend() as backend:
        yield backend


@asynccontextmanager
async def deployed(folder, backend, **security):
    """The processes in front of the backend, with the user bob and the roles."""
    settings = {
        "backend": {"address": f"127.0.0.1:{backend.port}"},
        "proxy": {"methodRoles": ENTRIES},
        "common": {"security": security},
    }
    async with running_deployment(folder, settings) as deployment, deployment.client() as client:
        create = pb.CreateCredentialRequest(username="bob", password=encoded("secret1"))
        assert (await client.account("CreateCredential", create, ROOT)).code == 0
        for name in ("reader", "writer"):
            role = pb.CreateRoleRequest(entity=pb.RoleEntity(name=name))
            assert (await client.account("CreateRole", role, ROOT)).code == 0
        yield deployment, client


@pytest.fixture
async def both(tmp_path, backend):
    async with deployed(tmp_path, backend) as both:
        yield both


async def give(client, role):
    await _operate(client, role, pb.OperateUserRoleType.AddUserToRole)


async def take(client, role):
    await _operate(client, role, pb.OperateUserRoleType.RemoveUserFromRole)


async def _operate(client, role, kind):
    change = pb.OperateUserRoleRequest(username="bob", role_name=role, type=kind)
    assert (await client.account("OperateUserRole", change, ROOT)).code == 0


async def status(client, path, *, as_user=BOB):
    return (await client.call(path, b"any bytes", as_user)).status


async def test_the_next_call_feels_a_role_that_was_given_or_taken(both, backend):
    deployment, client = both
    refused = await client.call("/qdrant.Points/Unary", b"any bytes", BOB)
    assert refused.status is grpc.StatusCode.PERMISSION_DENIED
    assert refused.text.startswith(
        "/qdrant.Points/Unary needs one of the roles writer, admin: permission deny to bob"
    )
    assert await status(client, "/qdrant.Points/Unary?") is grpc.StatusCode.PERMISSION_DENIED
    assert await status(client, "/QDRANT.Points/unary") is grpc.StatusCode.PERMISSION_DENIED
    assert not backend.calls
    assert await status(client, "/qdrant.Collections/Unary") is grpc.StatusCode.OK
    assert await status(client, "/qdrant.Points/Unary", as_user=ROOT) is grpc.StatusCode.OK
    for _ in range(3):
        await give(client, "writer")
        assert await status(client, "/qdrant.Points/Unary") is grpc.StatusCode.OK
        await take(client, "writer")
        assert await status(client, "/qdrant.Points/Unary") is grpc.StatusCode.PERMISSION_DENIED
    await give(client, "admin")
    assert await status(client, "/qdrant.Points/Unary") is grpc.StatusCode.OK

    def refusals():
        lines = deployment.audit_file.read_text().splitlines()
        assert [violations(line) for line in lines] == [[]] * len(lines)
        entries = map(json.loads, lines)
        return [each for each in entries if each["event"] == "call_refused"]

    async def are_written():
        return len(refusals()) == 3

    await eventually(are_written)
    assert [(entry["method"], entry["privilege"]) for entry in refusals()] == [
        ("/qdrant.Points/Unary", "writer, admin"),
        (None, "admin"),
        ("/QDRANT.Points/unary", "writer, admin"),
    ]
    assert {entry["user"] for entry in refusals()} == {"bob"}


async def test_an_open_stream_ends_before_the_revoke_is_answered(both, backend):
    deployment, client = both
    await give(client, "reader")
    await give(client, "writer")
    async with grpc.aio.insecure_channel(deployment.address) as channel:
        stream = channel.unary_stream("/qdrant.Points/Open")(
            b"hello", metadata=(("authorization", BOB),)
        )
        assert await stream.read() == b"hello"
        bidi = channel.stream_stream("/qdrant.Points/Bidi")(metadata=(("authorization", BOB),))
        await bidi.write(b"1")
        assert await bidi.read() == b"1"
        await take(client, "writer")
        assert await bidi.code() is grpc.StatusCode.PERMISSION_DENIED
        assert not stream.done()
        role = pb.DropRoleRequest(role_name="reader", force_drop=True)
        assert (await client.account("DropRole", role, ROOT)).code == 0
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert caught.value.details() == (
        "/qdrant.Points/Open needs the role reader: permission deny to bob"
    )
    async with asyncio.timeout(10.0):
        for call in backend.calls:
            await call.over.wait()


async def test_roles_that_are_not_enforced_ask_for_none(tmp_path, backend):
    async with deployed(tmp_path, backend, rbac={"enforced": False}) as (_, client):
        assert await status(client, "/qdrant.Points/Unary") is grpc.StatusCode.OK
