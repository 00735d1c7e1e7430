"""Roles of methods by the configuration: which calls pass, and what ends them later."""

import pytest

from tests.support.header_blocks import request_head
from tests.support.raw_http2 import message
from tests.unit.services.proxy.permissions.test_authorizer import SEARCH, opened, search
from vecguard.errors import Status, UnavailableError
from vecguard.proxy.audit.event_aggregation import RefusedCall
from vecguard.proxy.principal import ANONYMOUS, Principal

ALICE, ROOT = Principal("alice", 101), Principal("root", 102)
POINTS = b"/qdrant.Points/"
ENTRIES = {
    "/qdrant.Points/*": ("writer",),
    "/qdrant.Points/Search": ("reader", "writer"),
    "/qdrant.Points/Count": ("public",),
    "/qdrant.Snapshots/Create": ("admin",),
}
REQUEST = message(b"any bytes: nothing reads them")


def configured(user=ALICE, **options):
    return opened(user, method_roles=ENTRIES, **options)


@pytest.fixture
async def house():
    async with configured() as house:
        yield house


@pytest.mark.parametrize(
    ("role", "method", "allowed"),
    [
        ("reader", b"Search", True),
        ("writer", b"Search", True),
        ("reader", b"Upsert", False),
        ("writer", b"Upsert", True),
        ("writer", b"upsert", True),
        ("admin", b"Upsert", True),
        ("other", b"Search", False),
        (None, b"Search", False),
        (None, b"Count", True),
    ],
)
async def test_one_of_the_roles_of_the_entry_is_needed(house, role, method, allowed):
    house.source.give("alice", *filter(None, [role]))
    call = await house.call(POINTS + method, REQUEST)
    assert await house.has_arrived(call) is allowed
    assert allowed or house.status(call) is Status.PERMISSION_DENIED


async def test_the_entry_of_a_method_wins_over_that_of_its_service(house):
    house.source.give("alice", "reader")
    assert await house.has_arrived(await house.call(POINTS + b"Search", REQUEST))
    house.source.give("alice", "other")
    house.revocations.change_roles_of("alice", house.source.revision)
    await house.relay.quiet()
    assert await house.has_arrived(await house.call(POINTS + b"Count", REQUEST))


@pytest.mark.parametrize(
    "path", [b"/qdrant.Snapshots/List", b"/qdrant.Collections/List", b"/qdrant/x?", b"/"]
)
async def test_without_an_entry_a_login_is_enough(house, path):
    assert await house.has_arrived(await house.call(path, REQUEST))
    assert not house.source.fetches


async def test_another_spelling_is_for_admins(house):
    house.source.give("alice", "reader", "writer")
    call = await house.call(POINTS + b"Search?", REQUEST)
    assert house.status(call) is Status.PERMISSION_DENIED
    assert not await house.has_arrived(call)
    house.source.give("alice", "admin")
    house.revocations.change_roles_of("alice", house.source.revision)
    await house.relay.quiet()
    assert await house.has_arrived(await house.call(POINTS + b"Search?", REQUEST))


async def test_only_the_record_of_the_user_is_read(house):
    house.source.give("alice", "reader")
    for _ in range(3):
        await house.has_arrived(await house.call(POINTS + b"Search", REQUEST))
        await house.call(POINTS + b"Upsert", REQUEST)
    assert house.source.fetches == {"alice": 1}
    assert not house.source.role_fetches


async def test_a_refused_call_is_counted_and_recorded(house):
    house.source.give("alice", "reader")
    await house.has_arrived(await house.call(POINTS + b"Search", REQUEST))
    refused = await house.call(POINTS + b"Upsert", REQUEST)
    assert house.text(refused) == (
        "/qdrant.Points/Upsert needs the role writer: permission deny to alice"
    )
    assert house.audit.calls == [
        RefusedCall("alice", "192.0.2.1", "/qdrant.Points/Upsert", "writer", None, None)
    ]
    assert (house.authorizer.allowed, house.authorizer.refused) == (1, 1)


async def test_a_stream_is_decided_at_its_beginning(house):
    refused = await house.call(POINTS + b"Search", end=False)
    assert house.status(refused) is Status.PERMISSION_DENIED
    assert not house.relay.backends


async def test_an_open_call_ends_when_the_user_loses_the_last_role_of_the_entry(house):
    house.source.give("alice", "reader", "writer")
    stream = await house.call(POINTS + b"Search", REQUEST, end=False)
    unary = await house.call(POINTS + b"Search", REQUEST)
    house.source.give("alice", "reader")
    house.revocations.change_roles_of("alice", house.source.revision)
    await house.relay.quiet()
    assert house.status(stream) is house.status(unary) is None
    assert house.authorizer.allowed == 2
    house.source.give("alice", "other")
    house.revocations.change_roles_of("alice", house.source.revision)
    await house.relay.quiet()
    assert house.status(stream) is house.status(unary) is Status.PERMISSION_DENIED
    assert house.text(stream) == (
        "/qdrant.Points/Search needs one of the roles reader, writer: permission deny to alice"
    )
    assert house.authorizer.refused == len(house.audit.calls) == 2


async def test_a_change_of_grants_ends_no_call(house):
    house.source.give("alice", "reader")
    stream = await house.call(POINTS + b"Search", REQUEST, end=False)
    house.source.grant("reader")
    house.revocations.change_policy(house.source.revision)
    await house.relay.quiet()
    assert house.status(stream) is None
    assert not house.source.role_fetches


async def test_an_open_call_ends_if_the_new_roles_cannot_be_read(house):
    house.source.give("alice", "reader")
    stream = await house.call(POINTS + b"Search", REQUEST, end=False)
    house.source.error = UnavailableError("root coord is away")
    house.revocations.change_roles_of("alice", house.source.revision + 1)
    await house.relay.quiet()
    assert house.status(stream) is Status.UNAVAILABLE


async def test_a_decision_waits_for_the_lease(house):
    house.source.give("alice", "reader")
    await house.has_arrived(await house.call(POINTS + b"Search", REQUEST))
    house.trust.valid.clear()
    waiting = await house.call(POINTS + b"Upsert", REQUEST)
    assert house.status(waiting) is None
    house.trust.valid.set()
    await house.relay.quiet()
    assert house.status(waiting) is Status.PERMISSION_DENIED


async def test_a_decision_is_made_by_roles_that_change_while_it_waits(house):
    house.source.give("alice", "reader")
    house.source.gate.close()
    waiting = await house.call(POINTS + b"Search", REQUEST)
    house.source.give("alice")
    house.revocations.change_roles_of("alice", house.source.revision)
    await house.relay.quiet()
    house.source.gate.open()
    await house.relay.quiet()
    assert house.status(waiting) is Status.PERMISSION_DENIED


async def test_a_user_who_is_never_at_rest_gets_an_answer(house, monkeypatch):
    monkeypatch.setattr(type(house.credentials), "held_of", lambda self, username: None)
    call = await house.call(POINTS + b"Search", REQUEST)
    assert house.status(call) is Status.RESOURCE_EXHAUSTED


async def test_root_needs_no_role_unless_it_is_bound():
    async with configured(ROOT) as house:
        assert await house.has_arrived(await house.call(POINTS + b"Upsert", REQUEST))
        assert not house.source.fetches
    async with configured(ROOT, root_is_bound=True) as house:
        call = await house.call(POINTS + b"Upsert", REQUEST)
        assert house.status(call) is Status.PERMISSION_DENIED


@pytest.mark.parametrize(("user", "options"), [(ANONYMOUS, {}), (ALICE, {"enforced": False})])
async def test_nothing_is_judged_where_logins_or_roles_are_switched_off(user, options):
    async with configured(user, **options) as house:
        for path in (POINTS + b"Upsert", POINTS + b"Upsert?"):
            assert await house.has_arrived(await house.call(path, REQUEST))


async def test_methods_of_milvus_are_judged_as_without_entries(house):
    house.source.give("alice", "reader")
    assert await house.has_arrived(await house.call(SEARCH, search()))
    connect = b"/milvus.proto.milvus.MilvusService/Connect"
    assert await house.has_arrived(await house.call(connect, message(b"")))


async def test_methods_of_a_service_do_not_fill_memory(house):
    for number in range(1100):
        house.authorizer.permission(ROOT, request_head(POINTS + b"%d" % number), None, None)
    assert len(house.authorizer._treatments) == 1024
