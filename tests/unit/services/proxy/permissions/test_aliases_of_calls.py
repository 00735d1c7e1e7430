"""Calls that name a collection by an alias: allowed if the collection is granted."""

import asyncio

import pytest
from pymilvus.grpc_gen import milvus_pb2 as milvus

from tests.support.credentials import ManualClock
from tests.support.raw_http2 import message
from tests.unit.services.proxy.backend.test_aliases import Backend
from tests.unit.services.proxy.permissions.test_authorizer import SEARCH, opened, path_of, search
from vecguard.errors import Status, UnavailableError
from vecguard.proxy.authorization.policy import Grant
from vecguard.proxy.backend.aliases import Aliases
from vecguard.proxy.principal import Principal

CHANGES = ("CreateAlias", "AlterAlias", "DropAlias", "DropCollection", "RenameCollection",
           "DropDatabase")  # fmt: skip
FLUSH = path_of("Flush")


@pytest.fixture
def backend():
    return Backend()


@pytest.fixture
def aliases(backend):
    return Aliases(backend, clock=ManualClock())


@pytest.fixture
async def house(aliases):
    async with opened(Principal("alice", 101), aliases=aliases) as house:
        house.source.give("alice", "reader")
        yield house


def flush(*names):
    return message(milvus.FlushRequest(collection_names=names).SerializeToString())


async def test_a_collection_may_be_called_by_an_alias(house, backend):
    assert await house.has_arrived(await house.call(SEARCH, search("library")))
    assert await house.has_arrived(await house.call(SEARCH, search("library", "default")))
    assert backend.asked == {"library": 1}


async def test_a_granted_name_is_not_looked_up(house, backend):
    house.source.grant("reader", Grant("Collection", "default", "library", "PrivilegeSearch"))
    assert await house.has_arrived(await house.call(SEARCH, search("library")))
    assert not backend.asked


async def test_an_alias_of_another_collection_is_refused(house, backend):
    backend.aliases["default", "library"] = "films"
    refused = await house.call(SEARCH, search("library"))
    assert house.status(refused) is Status.PERMISSION_DENIED
    assert not await house.has_arrived(refused)
    assert house.text(refused) == (
        "PrivilegeSearch: permission deny to alice in the `default` database"
    )


async def test_what_cannot_be_resolved_is_refused(house, backend):
    backend.error = UnavailableError("gone")
    assert house.status(await house.call(SEARCH, search("library"))) is Status.PERMISSION_DENIED
    assert await house.has_arrived(await house.call(SEARCH, search("books")))


async def test_nothing_is_looked_up_for_a_user_without_the_privilege_in_the_database(
    house, backend
):
    query = message(milvus.QueryRequest(collection_name="library").SerializeToString())
    assert house.status(await house.call(path_of("Query"), query)) is Status.PERMISSION_DENIED
    elsewhere = await house.call(SEARCH, search("library", "other"))
    assert house.status(elsewhere) is Status.PERMISSION_DENIED
    assert not backend.asked


async def test_names_of_other_objects_are_not_looked_up(house, backend):
    house.source.grant("reader", Grant("Global", "other", "*", "PrivilegeDropCollection"))
    drop = message(milvus.DropCollectionRequest(collection_name="library").SerializeToString())
    assert house.status(await house.call(path_of("DropCollection"), drop)) is (
        Status.PERMISSION_DENIED
    )
    assert not backend.asked


async def test_a_long_request_waits_for_the_alias(house, backend):
    house.source.grant("reader", Grant("Collection", "default", "books", "PrivilegeInsert"))
    data = message(
        milvus.InsertRequest(collection_name="library", hash_keys=range(20_000)).SerializeToString()
    )
    backend.gate.close()
    call = await house.call(path_of("Insert"), data[:16_384], end=False)
    house.client.say(call, data[16_384:])
    house.client.finish(call)
    await house.relay.quiet()
    streams = house.relay.backends[0].streams
    assert not any(stream.received_end for stream in streams.values())
    backend.gate.open()
    await house.relay.quiet()
    assert await house.has_arrived(call)


@pytest.mark.parametrize(
    ("grants", "allowed"),
    [
        ({"reader": ["books", "films"]}, True),
        ({"reader": ["library", "cinema"]}, True),
        ({"reader": ["library", "films"]}, True),
        # The first name by one role, and both targets by another.
        ({"reader": ["library"], "writer": ["books", "films"]}, True),
        # No role allows both.
        ({"reader": ["books"], "writer": ["films"]}, False),
        ({"reader": ["books"]}, False),
    ],
)
async def test_a_flush_needs_one_role_for_all_its_collections(house, backend, grants, allowed):
    backend.aliases["default", "cinema"] = "films"
    for role in ("reader", "writer"):
        names = grants.get(role, [])
        house.source.grant(
            role, *(Grant("Collection", "default", name, "PrivilegeFlush") for name in names)
        )
    house.source.give("alice", "reader", "writer")
    call = await house.call(FLUSH, flush("library", "cinema"))
    assert await house.has_arrived(call) is allowed
    assert allowed or house.status(call) is Status.PERMISSION_DENIED


@pytest.mark.parametrize("method", CHANGES)
@pytest.mark.parametrize("user", ["root", "alice"])
async def test_a_change_drops_aliases_when_it_passes_and_when_it_is_answered(
    aliases, backend, user, method
):
    async with opened(Principal(user, 101), aliases=aliases) as house:
        house.source.give("alice", "owner")
        house.source.grant("owner", Grant("Global", "*", "*", "*"))
        await aliases.look_up("bob", "default", ["library"], None)
        change = await house.call(path_of(method), message(b""))
        assert not len(aliases)
        await aliases.look_up("bob", "default", ["library"], None)
        backend.gate.close()
        flying = asyncio.create_task(aliases.look_up("bob", "default", ["x"], None))
        await backend.gate.arrivals()
        assert await house.has_arrived(change)
        assert not len(aliases)
        backend.gate.open()
        await flying
        assert not len(aliases)


async def test_a_change_that_is_given_up_drops_aliases(aliases):
    async with opened(Principal("root", 101), aliases=aliases) as house:
        change = await house.call(path_of("AlterAlias"), message(b""))
        await aliases.look_up("bob", "default", ["library"], None)
        house.client.reset(change)
        await house.relay.quiet()
        assert not len(aliases)


async def test_a_refused_change_drops_nothing(house, aliases):
    await aliases.look_up("alice", "default", ["library"], None)
    refused = await house.call(path_of("AlterAlias"), message(b""))
    assert house.status(refused) is Status.PERMISSION_DENIED
    assert len(aliases) == 1


async def test_other_calls_drop_nothing(house, aliases):
    await house.has_arrived(await house.call(SEARCH, search("library")))
    await house.has_arrived(await house.call(SEARCH, search("books")))
    assert len(aliases) == 1


async def test_an_open_call_is_judged_again_by_what_its_alias_stood_for(house, backend):
    searching = await house.call(SEARCH, search("library"))
    assert house.status(searching) is None
    house.source.grant("reader", Grant("Collection", "*", "books", "PrivilegeSearch"))
    house.revocations.change_policy(house.source.revision)
    await house.relay.quiet()
    assert house.status(searching) is None
    house.source.grant("reader", Grant("Collection", "*", "films", "PrivilegeSearch"))
    house.revocations.change_policy(house.source.revision)
    await house.relay.quiet()
    assert house.status(searching) is Status.PERMISSION_DENIED
    assert backend.asked == {"library": 1}


async def test_a_decision_is_made_by_roles_that_change_during_a_look_up(house, backend):
    backend.gate.close()
    call = await house.call(SEARCH, search("library"))
    await backend.gate.arrivals()
    house.source.grant("reader")
    house.revocations.change_policy(house.source.revision)
    await house.relay.quiet()
    backend.gate.open()
    await house.relay.quiet()
    assert house.status(call) is Status.PERMISSION_DENIED
    assert not await house.has_arrived(call)


async def test_an_admin_may_call_everything_even_before_the_roles_are_known(house, backend):
    house.source.give("alice", "admin")
    assert await house.has_arrived(await house.call(SEARCH, search("any.name")))
    assert not backend.asked
