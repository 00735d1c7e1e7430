"""Lists and aliases through the relay, in front of a real Milvus Lite."""

import asyncio
import socket
import sys

import grpc
import pytest
from pymilvus import DataType, MilvusClient, MilvusException

from deploy.local.readiness import speaks_http2
from tests.e2e.stacks import clean_environment
from tests.support.roles_relay import roles_relay
from tests.support.waiting import eventually
from vecguard.cli.collection_findings import examine_collections
from vecguard.config import Settings
from vecguard.milvus_layout.stored_roles import Grant as Stored
from vecguard.proxy.authorization.policy import Grant


@pytest.fixture
async def backend_port(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "milvus_lite", "server", "--data-dir", tmp_path),
        *("--host", "127.0.0.1", "--port", str(port)),
        env=clean_environment(),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await eventually(speaks_http2(port), 30.0)
        yield port
    finally:
        # Not by SIGINT, which a job in the background ignores, and so do all that it starts.
        process.kill()
        await process.wait()


def client(address, user, database="default"):
    return MilvusClient(f"http://{address}", token=user, db_name=database, dedicated=True)


def fill(backend):
    """Makes `default` with books and films, `tenant` with plans, and an alias of books."""
    admin = client(backend, "root")
    admin.create_database("tenant")
    for database, names in (("default", ("books", "films")), ("tenant", ("plans",))):
        admin.use_database(database)
        for name in names:
            schema = admin.create_schema()
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
            index = admin.prepare_index_params()
            index.add_index("vector", metric_type="L2", index_type="FLAT")
            admin.create_collection(name, schema=schema, index_params=index)
            admin.insert(name, [{"id": 1, "vector": [0.0, 1.0]}])
    admin.use_database("default")
    admin.create_alias("books", "library")
    admin.close()


async def test_a_tenant_sees_its_own_and_searches_by_an_alias(backend_port):
    await asyncio.to_thread(fill, f"127.0.0.1:{backend_port}")
    async with roles_relay(backend_port) as house:
        await house.grant("reader", Grant("Collection", "default", "books", "*"))
        await house.grant("tenant", Grant("Collection", "tenant", "*", "PrivilegeSearch"))
        await house.give("alice", "reader")
        await house.give("bob", "tenant")

        def look(user):
            found = []
            for database in ("default", "tenant"):
                own = client(house.relay.target, user, database)
                found += [sorted(own.list_databases()), sorted(own.list_collections())]
                own.close()
            assert found.pop(2) == found[0]
            return found

        everything = [["default", "tenant"], ["books", "films"], ["plans"]]
        assert await asyncio.to_thread(look, "root") == everything
        assert await asyncio.to_thread(look, "admin_user") == everything
        assert await asyncio.to_thread(look, "alice") == [["default"], ["books"], []]
        assert await asyncio.to_thread(look, "bob") == [["tenant"], [], ["plans"]]

        alice = await asyncio.to_thread(client, house.relay.target, "alice")
        root = await asyncio.to_thread(client, house.relay.target, "root")

        def search(name):
            return [hit["id"] for hit in alice.search(name, [[0.0, 1.0]], limit=1)[0]]

        def refused(name):
            with pytest.raises((MilvusException, grpc.RpcError), match="permission deny"):
                search(name)

        try:
            assert await asyncio.to_thread(search, "books") == [1]
            assert await asyncio.to_thread(search, "library") == [1]
            await asyncio.to_thread(refused, "films")
            # A change that passes through the relay is seen at once.
            await asyncio.to_thread(root.alter_alias, "films", "library")
            await asyncio.to_thread(refused, "library")
            await asyncio.to_thread(root.alter_alias, "books", "library")
            assert await asyncio.to_thread(search, "library") == [1]
            await asyncio.to_thread(root.drop_alias, "library")
            await asyncio.to_thread(refused, "library")
        finally:
            alice.close()
            root.close()
        assert house.aliases.counts["failed"] == 0


async def test_doctor_finds_the_grants_on_what_is_not_there(backend_port):
    address = f"127.0.0.1:{backend_port}"
    await asyncio.to_thread(fill, address)
    names = ("default.books", "default.library", "default.gone", "tenant.plans", "tenant.books")
    grants = tuple(
        Stored("Collection", *name.split("."), "PrivilegeSearch", "root")
        for name in (*names, "missing.books")
    )
    settings = Settings(backend={"address": address})
    (found,) = await examine_collections("roles", settings, {"reader": grants})
    assert (
        "do not exist: Search on default.gone of reader, Search on missing.books of reader, "
        "Search on tenant.books of reader; they" in found.cause
    )
