"""Grants on collections that the backend does not have are found, and nothing else."""

from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from pymilvus.grpc_gen import common_pb2 as common
from pymilvus.grpc_gen import milvus_pb2 as milvus
from pymilvus.grpc_gen import milvus_pb2_grpc

from vecguard.cli.collection_findings import examine_collections, named_collections
from vecguard.cli.finding import Severity
from vecguard.config import Settings
from vecguard.milvus_layout.stored_roles import Grant


def grant(database="default", name="books", privilege="PrivilegeSearch", kind="Collection"):
    return Grant(kind, database, name, privilege, "root")


class Milvus(milvus_pb2_grpc.MilvusServiceServicer):
    """Has the collection default.books, its alias default.library, and no database shop."""

    def __init__(self):
        self.asked = []
        self.status = None

    async def DescribeCollection(self, request, context):  # noqa: N802 - Milvus's name
        self.asked.append((request.db_name, request.collection_name))
        if self.status is not None:
            await context.abort(self.status, "no")
        code = 0
        if request.db_name == "shop":
            code = 800
        elif request.collection_name not in ("books", "library"):
            code = 100
        return milvus.DescribeCollectionResponse(
            status=common.Status(code=code), collection_name="books"
        )


@pytest.fixture
async def backend():
    async with running() as found:
        yield found


@asynccontextmanager
async def running():
    server, servicer = grpc.aio.server(), Milvus()
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield servicer, Settings(backend={"address": f"127.0.0.1:{port}", "connect_timeout": 2.0})
    finally:
        await server.stop(None)


@pytest.mark.parametrize(
    "found",
    [
        grant(),
        grant(privilege="PrivilegeGroupReaders", kind="Global"),
        grant(privilege="PrivilegeGroupCollectionReadOnly", kind="Global"),
        grant(privilege="*"),
    ],
)
def test_a_grant_names_a_collection(found):
    assert list(named_collections({"reader": [found]})) == [("default", "books")]


@pytest.mark.parametrize(
    "found",
    [
        grant(name="*"),
        grant(name="b*"),
        grant(name="[ab]ooks"),
        grant(database="*"),
        grant(database="sale?"),
        grant(privilege="PrivilegeSelectUser", kind="User", name="bob"),
        grant(privilege="PrivilegeCreateCollection", kind="Global"),
    ],
)
def test_a_grant_names_no_collection(found):
    assert named_collections({"reader": [found]}) == {}


async def test_grants_on_collections_that_the_backend_does_not_have_are_named(backend):
    servicer, settings = backend
    grants = {
        "reader": (grant(), grant(name="library"), grant(name="films"), grant(name="*")),
        "writer": (grant(name="films", privilege="PrivilegeInsert"), grant(database="shop")),
    }
    (found,) = await examine_collections("roles", settings, grants)
    assert found.severity is Severity.NOTE
    assert (
        "do not exist: Insert on default.films of writer, Search on default.films of reader, "
        "Search on shop.books of writer; they hold" in found.cause
    )
    assert sorted(servicer.asked) == [
        ("default", "books"),
        ("default", "films"),
        ("default", "library"),
        ("shop", "books"),
    ]


async def test_without_any_there_is_nothing_to_say(backend):
    servicer, settings = backend
    assert await examine_collections("roles", settings, {"reader": (grant(),)}) == []
    assert await examine_collections("roles", Settings(), {"reader": (grant(name="*"),)}) == []
    assert servicer.asked == [("default", "books")]


async def test_without_a_backend_it_is_said_that_this_was_not_checked():
    (found,) = await examine_collections("roles", Settings(), {"reader": (grant(),)})
    assert found.severity is Severity.NOTE
    assert found.cause.endswith("was not checked: this configuration names no backend")
    assert found.remedy.endswith("which then judges the settings of a proxy, too")
    assert "backend.address" in found.remedy


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, "no"),
        (grpc.StatusCode.UNIMPLEMENTED, "no"),
        (None, "cannot be reached"),
    ],
)
async def test_a_backend_that_does_not_say_is_named(status, words):
    async with running() as (servicer, settings):
        servicer.status = status
        if status is not None:
            (found,) = await examine_collections("roles", settings, {"reader": (grant(),)})
    if status is None:
        (found,) = await examine_collections("roles", settings, {"reader": (grant(),)})
    assert found.severity is Severity.NOTE
    assert "was not checked" in found.cause
    assert words in found.cause
