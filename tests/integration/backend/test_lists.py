"""Lists through the relay, in front of a grpcio server that answers as Milvus would."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from pymilvus.grpc_gen import common_pb2 as common
from pymilvus.grpc_gen import milvus_pb2 as milvus
from pymilvus.grpc_gen import milvus_pb2_grpc

from tests.support.roles_relay import credentials_of, roles_relay
from tests.support.waiting import eventually
from vecguard.proxy.authorization.policy import Grant

SEARCH_BOOKS = Grant("Collection", "default", "books", "PrivilegeSearch")


class Milvus(milvus_pb2_grpc.MilvusServiceServicer):
    """Has databases and collections, and keeps the metadata of every call.

    Attributes:
        answer: is returned in place of a list; an exception is a gRPC error.
        gate: lists wait for it.
    """

    def __init__(self):
        self.calls = []
        self.answer = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.collections = {"default": ["books", "films"], "tenant": ["books", "plans"]}
        self.aliases = {("default", "library"): "books"}

    async def _seen(self, context, method):
        self.calls.append((method, tuple(context.invocation_metadata()), context.time_remaining()))
        await self.gate.wait()
        if isinstance(self.answer, tuple):
            await context.abort(*self.answer)
        return self.answer

    async def ListDatabases(self, request, context):  # noqa: N802 - of the protos
        names = list(self.collections)
        return await self._seen(context, "ListDatabases") or milvus.ListDatabasesResponse(
            db_names=names, created_timestamp=range(len(names)), db_ids=range(len(names))
        )

    async def ShowCollections(self, request, context):  # noqa: N802 - of the protos
        database = request.db_name or dict(context.invocation_metadata()).get("dbname", "default")
        names = self.collections[database]
        return await self._seen(context, "ShowCollections") or milvus.ShowCollectionsResponse(
            collection_names=names,
            collection_ids=[len(name) for name in names],
            query_service_available=[name == "books" for name in names],
        )

    async def DescribeAlias(self, request, context):  # noqa: N802 - of the protos
        self.calls.append(("DescribeAlias", tuple(context.invocation_metadata()), None))
        found = self.aliases.get((request.db_name, request.alias))
        if found is None:
            status = common.Status(code=1600, error_code=1, reason="alias not found")
            return milvus.DescribeAliasResponse(status=status)
        return milvus.DescribeAliasResponse(alias=request.alias, collection=found)

    async def Search(self, request, context):  # noqa: N802 - of the protos
        self.calls.append(("Search", tuple(context.invocation_metadata()), None))
        return milvus.SearchResults(collection_name=request.collection_name)


@asynccontextmanager
async def serving(servicer):
    server = grpc.aio.server()
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


@pytest.fixture
async def backend():
    return Milvus()


@pytest.fixture
async def port(backend):
    async with serving(backend) as port:
        yield port


@pytest.fixture
async def house(port):
    async with roles_relay(port) as house:
        await house.grant("reader", SEARCH_BOOKS)
        await house.give("alice", "reader")
        yield house


async def collections(client, database="", **options):
    reply = await client(
        "ShowCollections", milvus.ShowCollectionsRequest(db_name=database), **options
    )
    return list(reply.collection_names)


async def databases(client, **options):
    return list((await client("ListDatabases", milvus.ListDatabasesRequest(), **options)).db_names)


async def test_users_see_what_their_roles_name(house):
    async with house.client("alice") as alice, house.client("bob") as bob:
        assert await databases(alice) == ["default"]
        assert await collections(alice) == ["books"]
        assert await collections(alice, "tenant") == []
        assert await databases(bob) == []
        assert await collections(bob) == []
        reply = await alice("ShowCollections", milvus.ShowCollectionsRequest())
        assert list(reply.collection_ids) == [5]
        assert list(reply.query_service_available) == [True]
        await house.grant("reader", Grant("Global", "tenant", "*", "PrivilegeShowCollections"))
        assert await collections(alice, "tenant") == ["books", "plans"]
        assert await collections(alice) == []
        assert await databases(alice) == ["tenant"]


async def test_the_database_of_the_request_comes_before_that_of_the_header(house):
    await house.grant("reader", Grant("Collection", "tenant", "plans", "PrivilegeSearch"))
    async with house.client("alice") as alice:
        assert await collections(alice, dbname="tenant") == ["plans"]
        assert await collections(alice, "default", dbname="tenant") == []
        assert await collections(alice, "tenant", dbname="default") == ["plans"]


@pytest.mark.parametrize("user", ["root", "admin_user"])
async def test_root_and_admins_see_everything_from_the_backend_itself(house, backend, user):
    async with house.client(user) as client:
        assert await databases(client) == ["default", "tenant"]
        assert await collections(client) == ["books", "films"]
        backend.calls.clear()
        # Headers that only the relay passes on: the backend is asked directly.
        await client("ListDatabases", milvus.ListDatabasesRequest(), ("x-own", "1"))
        assert ("x-own", "1") in backend.calls[0][1]


async def test_the_backend_filters_alone_where_roles_are_not_enforced(port, backend):
    async with roles_relay(port, enforced=False) as house, house.client("bob") as bob:
        assert await databases(bob) == ["default", "tenant"]
        assert await collections(bob) == ["books", "films"]


async def test_the_backend_gets_the_user_the_database_and_the_deadline(house, backend):
    async with house.client("alice") as alice:
        await collections(alice, dbname="tenant", timeout=5.0)
    method, metadata, remaining = backend.calls[-1]
    assert method == "ShowCollections"
    metadata = dict(metadata)
    assert metadata["dbname"] == "tenant"
    assert metadata["x-vecguard-user"] == "alice"
    assert "authorization" not in metadata
    assert 3.0 < remaining <= 5.0


async def test_the_backend_gets_credentials_where_that_is_configured(port, backend):
    async with roles_relay(port, forwards_authorization=True) as house:
        await house.grant("reader", SEARCH_BOOKS)
        await house.give("alice", "reader")
        async with house.client("alice") as alice:
            await databases(alice)
            await alice("Search", milvus.SearchRequest(collection_name="library"))
    sent = [dict(metadata)["authorization"] for _, metadata, _ in backend.calls]
    assert sent == [credentials_of("alice")] * 3


async def test_an_error_in_the_reply_passes_unchanged(house, backend):
    backend.answer = milvus.ShowCollectionsResponse(
        status=common.Status(code=800, error_code=1, reason="database not found")
    )
    async with house.client("alice") as alice:
        reply = await alice("ShowCollections", milvus.ShowCollectionsRequest())
    assert reply == backend.answer


async def test_a_grpc_error_passes_unchanged(house, backend):
    backend.answer = (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests")
    async with house.client("alice") as alice:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await databases(alice)
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert failure.value.details() == "too many requests"


async def test_a_reply_that_cannot_be_read_is_an_error():
    async def list_databases(request, context):
        return b"\x10\x01"  # field 2, which has names, is a number

    handler = grpc.unary_unary_rpc_method_handler(list_databases)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "milvus.proto.milvus.MilvusService", {"ListDatabases": handler}
            ),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with roles_relay(port) as other, other.client("bob") as bob:
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await databases(bob)
    finally:
        await server.stop(None)
    assert failure.value.code() is grpc.StatusCode.INTERNAL


async def test_a_backend_that_cannot_be_reached_is_unavailable():
    async with roles_relay(1) as elsewhere, elsewhere.client("alice") as alice:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await databases(alice)
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("method", ["ListDatabases", "ShowCollections"])
@pytest.mark.parametrize("values", [("a", "b"), ("", "tenant"), ("default", "default")])
async def test_an_ambiguous_database_is_refused(house, backend, method, values):
    request = getattr(milvus, f"{method}Request")()
    async with house.client("alice") as alice:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await alice(method, request, *[("dbname", value) for value in values])
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not backend.calls


@pytest.mark.parametrize("database", ["*", "a.b", "a/b", "[ab]"])
async def test_a_pattern_is_no_database(house, backend, database):
    async with house.client("alice") as alice:
        for options in ({"database": database}, {"dbname": database}):
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await collections(alice, **options)
            assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not backend.calls


async def test_an_answer_is_filtered_by_the_roles_of_the_moment_at_which_it_goes_out(
    house, backend
):
    async with house.client("alice") as alice:
        assert await collections(alice) == ["books"]
        backend.gate.clear()
        listing = asyncio.create_task(collections(alice))
        await eventually(lambda: arrived(backend, 2))
        await house.grant("reader", Grant("Collection", "default", "films", "PrivilegeSearch"))
        backend.gate.set()
        assert await listing == ["films"]


async def test_a_list_of_an_admin_ends_when_the_role_is_taken(house, backend):
    async with house.client("admin_user") as client:
        assert await collections(client) == ["books", "films"]
        backend.gate.clear()
        listing = asyncio.create_task(collections(client))
        await eventually(lambda: arrived(backend, 2))
        await house.give("admin_user", "reader")
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await listing
        assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
        backend.gate.set()
        assert await collections(client) == ["books"]


async def test_a_list_without_an_answer_ends_with_the_deadline_of_its_caller(house, backend):
    backend.gate.clear()
    async with house.client("alice") as alice:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await databases(alice, timeout=0.3)
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    backend.gate.set()


async def test_an_alias_is_described_by_the_backend(house, backend):
    async with house.client("alice") as alice:
        for _ in range(3):
            reply = await alice("Search", milvus.SearchRequest(collection_name="library"))
            assert reply.collection_name == "library"
        for name in ("cinema", "films", "cinema"):
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await alice("Search", milvus.SearchRequest(collection_name=name))
            assert failure.value.code() is grpc.StatusCode.PERMISSION_DENIED
    described = [dict(seen) for method, seen, _ in backend.calls if method == "DescribeAlias"]
    assert len(described) == 3
    assert all("authorization" not in metadata for metadata in described)
    assert all(metadata["dbname"] == "default" for metadata in described)
    assert house.aliases.counts == {"alias": 1, "no_alias": 2, "failed": 0}


@pytest.mark.parametrize(
    ("reply", "counted"),
    [
        (milvus.DescribeAliasResponse(collection="*"), "failed"),
        (milvus.DescribeAliasResponse(collection="a.books"), "failed"),
        (milvus.DescribeAliasResponse(), "failed"),
        (milvus.DescribeAliasResponse(status=common.Status(code=2), collection="books"), "failed"),
        (
            milvus.DescribeAliasResponse(status=common.Status(code=100), collection="books"),
            "no_alias",
        ),
        (milvus.DescribeAliasResponse(status=common.Status(error_code=1)), "no_alias"),
    ],
    ids=str,
)
async def test_other_descriptions_name_no_collection(house, backend, reply, counted):
    async def describe(request, context):
        return reply

    backend.DescribeAlias = describe
    # An own server: grpcio has taken the methods of the other one.
    async with serving(backend) as port, roles_relay(port) as own:
        await own.grant("reader", SEARCH_BOOKS)
        await own.give("alice", "reader")
        async with own.client("alice") as alice:
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await alice("Search", milvus.SearchRequest(collection_name="library"))
        assert failure.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert own.aliases.counts[counted] == 1


async def arrived(backend, count):
    return len(backend.calls) >= count


async def test_a_list_is_asked_for_again_after_the_backend_closed_the_connection(port):
    connections = []

    async def accept(reader, writer):
        connections.append(writer)
        if len(connections) == 1:
            await reader.read(1)
            writer.close()
            return
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, back), copy(there, writer))

    async def copy(source, target):
        while data := await source.read(65536):
            target.write(data)
        target.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server, roles_relay(server.sockets[0].getsockname()[1]) as house:
        await house.grant("reader", SEARCH_BOOKS)
        await house.give("alice", "reader")
        async with house.client("alice") as alice:
            assert await databases(alice) == ["default"]
    assert len(connections) == 2
