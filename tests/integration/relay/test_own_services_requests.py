"""Requests that no library would send, to the services inside the proxy."""

import gzip

import grpc
import pytest
from grpclib.const import Status
from pymilvus.decorators import IGNORE_RETRY_CODES

from tests.support.own_services import own_services
from tests.support.raw_http2 import message, raw_client, request_headers
from vecguard.generated.milvus.proto import milvus as pb

SERVICE = b"/milvus.proto.milvus.MilvusService/"
CHECK = b"/grpc.health.v1.Health/Check"
FIRST = "Zmlyc3QtcGFzcw=="  # first-pass
BOMB = gzip.compress(b"\x78\x00" * 16_000)


@pytest.fixture
async def client():
    async with own_services(1) as relay, raw_client(relay.port) as client:
        yield client


async def status_of(client, path, body, *more):
    begun, _, trailers = await client.response(client.request(request_headers(path, *more), body))
    fields = dict(begun + trailers)
    return Status(int(fields[b"grpc-status"])), fields.get(b"grpc-message")


@pytest.mark.parametrize(
    "cut", [b"\x12\x05bob", b"\x12\xff\xff\xff\xff\x0f", b"\x7b\x12\x03bob\x7c"]
)
async def test_a_name_that_is_cut_or_hidden_deletes_nobody(client, cut):
    create = pb.CreateCredentialRequest(username="bob", password=FIRST)
    created, _ = await status_of(client, SERVICE + b"CreateCredential", message(bytes(create)))
    assert created is Status.OK
    deleted = await status_of(client, SERVICE + b"DeleteCredential", message(cut))
    assert deleted == (Status.INTERNAL, b"the request is malformed")
    _, body, _ = await client.response(
        client.request(request_headers(SERVICE + b"ListCredUsers"), message(b""))
    )
    assert "bob" in pb.ListCredUsersResponse().parse(body[5:]).usernames


async def test_a_request_about_the_health_that_is_cut_is_refused(client):
    refused = await status_of(client, CHECK, message(b"\xff\xff"))
    assert refused == (Status.INTERNAL, b"the request is malformed")


async def test_a_short_message_of_many_fields_is_refused_and_not_repeated_by_pymilvus(client):
    assert grpc.StatusCode.RESOURCE_EXHAUSTED in IGNORE_RETRY_CODES
    gzipped = (b"grpc-encoding", b"gzip")
    for name in (b"SelectUser", b"CreateCredential", b"ListCredUsers"):
        refused = await status_of(client, SERVICE + name, message(BOMB, flag=1), gzipped)
        assert refused == (Status.RESOURCE_EXHAUSTED, b"a message has more than 250 fields")
    many = await status_of(client, CHECK, message(b"\x78\x00" * 400))
    assert many == (Status.RESOURCE_EXHAUSTED, b"a message has more than 250 fields")
