"""Clients that compress every message administer accounts and ask about the health."""

import base64
import json

import grpc
import pytest

from tests.support.own_services import own_services
from tests.support.programs import node, node_module, node_script, output_of
from tests.support.raw_http2 import message, raw_client, request_headers
from tests.support.relay import channel
from vecguard.generated.grpc.health.v1 import HealthCheckResponse
from vecguard.generated.milvus.proto import common
from vecguard.generated.milvus.proto import milvus as pb

TIMEOUT = 10.0
SERVICE = "/milvus.proto.milvus.MilvusService/"
HEALTH = "/grpc.health.v1.Health/"
# An unknown field: grpcio sends a message as it is where compression saves nothing.
PADDING = b"\x7a\xc8\x01" + b"x" * 200
FIRST, SECOND = (base64.b64encode(password).decode() for password in (b"first-pass", b"another-1"))

REQUESTS = [
    ("CreateCredential", pb.CreateCredentialRequest(username="bob", password=FIRST)),
    (
        "UpdateCredential",
        pb.UpdateCredentialRequest(username="bob", old_password=FIRST, new_password=SECOND),
    ),
    ("ListCredUsers", pb.ListCredUsersRequest()),
    ("SelectUser", pb.SelectUserRequest(user=pb.UserEntity(name="bob"), include_role_info=True)),
    ("SelectRole", pb.SelectRoleRequest()),
    (
        "SelectGrant",
        pb.SelectGrantRequest(entity=pb.GrantEntity(role=pb.RoleEntity(name="public"))),
    ),
    ("DeleteCredential", pb.DeleteCredentialRequest(username="bob")),
    ("ListCredUsers", pb.ListCredUsersRequest()),
]
CALLS = [(SERVICE + name, bytes(request) + PADDING) for name, request in REQUESTS]
CALLS.append((f"{HEALTH}Check", PADDING))


def require_success(answers):
    """Asserts what the answers to `CALLS` say."""
    created, updated, users, bob, roles, grants, deleted, rest, health = answers
    for status in (created, updated, deleted):
        assert common.Status().parse(status).code == 0, status
    assert sorted(pb.ListCredUsersResponse().parse(users).usernames) == ["alice", "bob"]
    assert [found.user.name for found in pb.SelectUserResponse().parse(bob).results] == ["bob"]
    assert len(pb.SelectRoleResponse().parse(roles).results) == 2
    assert pb.SelectGrantResponse().parse(grants).status.code == 0
    assert pb.ListCredUsersResponse().parse(rest).usernames == ["alice"]
    assert HealthCheckResponse().parse(health).status == 1


@pytest.mark.parametrize("algorithm", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_grpcio_compresses_every_message(algorithm):
    async with own_services(1) as relay, channel(relay.target, compression=algorithm) as client:
        answers = [
            await client.unary_unary(path)(request, timeout=TIMEOUT) for path, request in CALLS
        ]
        require_success(answers)
        watch = client.unary_stream(f"{HEALTH}Watch")(PADDING, timeout=TIMEOUT)
        assert HealthCheckResponse().parse(await watch.read()).status == 1
        watch.cancel()


@pytest.mark.parametrize("algorithm", [1, 2], ids=["deflate", "gzip"])
async def test_grpc_js_compresses_every_message(algorithm):
    argv = node(), node_script("compressing.cjs"), node_module("@grpc/grpc-js")
    calls = [(path, base64.b64encode(request).decode()) for path, request in CALLS]
    async with own_services(1) as relay:
        found = json.loads(await output_of(*argv, relay.target, str(algorithm), json.dumps(calls)))
    assert [code for code, _ in found] == [0] * len(CALLS)
    require_success([base64.b64decode(answer) for _, answer in found])


async def test_another_compression_is_answered_with_those_that_are_accepted():
    async with own_services(1) as relay, raw_client(relay.port) as client:
        for path, request in CALLS:
            headers = request_headers(path.encode(), (b"grpc-encoding", b"zstd"))
            begun, _, _ = await client.response(client.request(headers, message(request, flag=1)))
            assert dict(begun)[b"grpc-status"] == b"12"
            assert dict(begun)[b"grpc-accept-encoding"] == b"identity,deflate,gzip"
