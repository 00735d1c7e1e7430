"""The service about decisions by roles over a real connection, as the relay calls it."""

from contextlib import asynccontextmanager

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from tests.support.credentials import (
    ManualClock,
    ScriptedSource,
    observed_authentication,
    role_cache,
)
from tests.unit.services.proxy.backend.test_aliases import Backend
from tests.unit.services.proxy.permissions.test_authorizer import Audit, SwitchedTrust
from vecguard.addresses import Address
from vecguard.generated.vecguard import v1 as pb
from vecguard.grpc.channel import Channel
from vecguard.grpc.server import GrpcServer
from vecguard.listening import listening_sockets
from vecguard.proxy.audit.event_aggregation import RefusedCall
from vecguard.proxy.authorization.policy import Grant
from vecguard.proxy.backend.aliases import Aliases
from vecguard.proxy.permissions.authorizer import RoleAuthorizer
from vecguard.proxy.permissions.explanations import Explainer, ExplanationService

BOOKS = Grant("Collection", "sales", "books", "PrivilegeSearch")
OPTIONS = {"root_is_bound": False, "enforced": True, "strict": True, "max_request_bytes": 2**20}


class House:
    def __init__(self, source, channel, audit):
        self.source, self.channel, self.audit = source, channel, audit

    async def ask(self, username, method, *objects, database="", caller=None):
        caller = username if caller is None else caller
        metadata = {
            "x-vecguard-user": caller,
            "x-vecguard-revision": "7",
            "x-vecguard-peer": "192.0.2.1",
        }
        metadata = metadata if caller else {}
        stub = pb.RolesStub(self.channel, timeout=10, metadata=metadata)
        return await stub.explain(
            pb.ExplainRequest(
                username=username, method=method, database=database, objects=list(objects)
            )
        )


@asynccontextmanager
async def opened(**options):
    source, clock = ScriptedSource(), ManualClock()
    for name in ("root", "alice", "bob", "ann"):
        source.put(name, "secret1")
    source.grant("public")
    source.grant("reader", BOOKS)
    source.grant("auditor", Grant("Global", "*", "*", "PrivilegeSelectOwnership"))
    source.give("alice", "reader")
    source.give("ann", "auditor")
    authentication = observed_authentication(source, clock=clock)
    credentials = authentication.credentials
    trust, roles = SwitchedTrust(), role_cache(source, clock=clock)
    audit = Audit()
    authorizer = RoleAuthorizer(
        credentials, roles, trust, clock, audit=audit, **(OPTIONS | options)
    )
    server = GrpcServer([ExplanationService(Explainer(authorizer, credentials))])
    sockets = listening_sockets(Address("127.0.0.1", 0), settings="the test's", backlog=100)
    channel = Channel(Address("127.0.0.1", sockets[0].getsockname()[1]))
    server.listen(sockets)
    try:
        yield House(source, channel, audit)
    finally:
        channel.close()
        await server.drain(1.0)
        authentication.close()


@pytest.fixture
async def house():
    async with opened() as house:
        yield house


async def test_an_allowed_call_names_the_grant(house):
    assert await house.ask("alice", "Search", "books", database="sales") == pb.ExplainReply(
        allowed=True,
        reason=pb.Reason.GRANTED,
        roles=["reader"],
        privilege="Search",
        object_type="Collection",
        database="sales",
        objects=["books"],
        role="reader",
        grants=[pb.Grant("Collection", "sales", "books", "Search")],
    )


async def test_a_refused_call_names_the_smallest_grant(house):
    assert await house.ask("alice", "Search", "books") == pb.ExplainReply(
        allowed=False,
        reason=pb.Reason.NOT_GRANTED,
        roles=["reader"],
        privilege="Search",
        object_type="Collection",
        database="default",
        objects=["books"],
        smallest_grants=[pb.Grant("Collection", "default", "books", "Search")],
    )
    created = await house.ask("alice", "CreateDatabase", "books", database="sales")
    assert created.smallest_grants == [pb.Grant("Global", "*", "*", "CreateDatabase")]


@pytest.mark.parametrize(
    ("username", "method", "objects", "reason"),
    [
        ("alice", "HasCollection", [], "OPEN"),
        ("alice", "ListDatabases", [], "OPEN"),
        ("alice", "ShowCollections", [], "OPEN"),
        ("alice", "SelectUser", ["alice"], "OWN"),
        ("alice", "SelectGrant", ["reader"], "OWN"),
        ("alice", "SelectGrant", ["auditor"], "NOT_GRANTED"),
        ("alice", "GetMetrics", [], "ADMIN_NEEDED"),
        ("bob", "GetMetrics", [], "ADMIN"),
        ("bob", "Search", ["books"], "ADMIN"),
        ("root", "Search", ["books"], "ROOT"),
        ("root", "GetMetrics", [], "ROOT"),
    ],
)
async def test_each_reason_has_an_example(house, username, method, objects, reason):
    house.source.give("bob", "admin")
    found = await house.ask(username, method, *objects)
    assert found.reason == pb.Reason[reason]
    assert found.allowed == (reason not in ("NOT_GRANTED", "ADMIN_NEEDED"))


METHOD_ROLES = {
    "/qdrant.Points/Search": ["reader", "searcher"],
    "/qdrant.Points/*": ["writer"],
    "/qdrant.Health/*": ["public"],
}


@pytest.mark.parametrize(
    ("username", "method", "expected"),
    [
        (
            "alice",
            "/qdrant.Points/Search",
            {
                "reason": "METHOD_ROLE",
                "role": "reader",
                "pattern": "/qdrant.Points/Search",
                "needed_roles": ["reader", "searcher"],
            },
        ),
        (
            "alice",
            "qdrant.Points/Upsert",
            {
                "reason": "METHOD_ROLE_NEEDED",
                "pattern": "/qdrant.Points/*",
                "needed_roles": ["writer"],
            },
        ),
        (
            "bob",
            "/qdrant.Points/Upsert",
            {"reason": "ADMIN", "pattern": "/qdrant.Points/*", "needed_roles": ["writer"]},
        ),
        ("root", "/qdrant.Points/Upsert", {"reason": "ROOT"}),
        ("alice", "/qdrant.Health/Check", {"reason": "OPEN"}),
        ("alice", "/qdrant.Collections/List", {"reason": "OPEN"}),
        # Some servers take it for a method that has an entry.
        ("alice", "/qdrant.Points/Upsert?", {"reason": "ADMIN_NEEDED"}),
    ],
)
async def test_a_method_of_another_service_needs_what_the_configuration_says(
    username, method, expected
):
    async with opened(method_roles=METHOD_ROLES) as house:
        house.source.give("bob", "admin")
        found = await house.ask(username, method, caller="root")
    reason = pb.Reason[expected.pop("reason")]
    roles = {"alice": ["reader"], "bob": ["admin"], "root": []}[username]
    allowed = reason not in (pb.Reason.METHOD_ROLE_NEEDED, pb.Reason.ADMIN_NEEDED)
    assert found == pb.ExplainReply(allowed=allowed, reason=reason, roles=roles, **expected)


async def test_a_method_of_another_service_is_open_where_roles_are_not_enforced():
    async with opened(method_roles=METHOD_ROLES, enforced=False) as house:
        found = await house.ask("alice", "/qdrant.Points/Upsert")
    assert (found.allowed, found.reason) == (True, pb.Reason.NOT_ENFORCED)
    assert found.needed_roles == ["writer"]


async def test_a_method_of_milvus_may_be_named_by_its_path(house):
    path = "/milvus.proto.milvus.MilvusService/Search"
    found = await house.ask("alice", path, "books", database="sales")
    assert found == await house.ask("alice", "Search", "books", database="sales")


async def test_about_others_only_who_may_list_roles_is_answered(house):
    assert (await house.ask("alice", "Search", "books", database="sales", caller="ann")).allowed
    assert (await house.ask("alice", "Search", "books", caller="root")).roles == ["reader"]
    with pytest.raises(GRPCError) as refused:
        await house.ask("ann", "Search", "books", caller="alice")
    assert refused.value.status is Status.PERMISSION_DENIED
    assert refused.value.message == (
        "PrivilegeSelectOwnership: permission deny to alice in the `*` database"
    )
    # Nor does the answer show whether there is such a user.
    with pytest.raises(GRPCError) as unknown:
        await house.ask("nobody", "Search", "books", caller="alice")
    assert unknown.value.message == refused.value.message
    assert house.audit.calls == [
        RefusedCall(
            *("alice", "192.0.2.1", "/vecguard.v1.Roles/Explain"),
            *("SelectOwnership", (about,), "*"),
        )
        for about in ("ann", "nobody")
    ]


@pytest.mark.parametrize(
    ("question", "status", "words"),
    [
        (("nobody", "Search", "books"), Status.NOT_FOUND, "there is no user nobody"),
        (("alice", "Serach", "books"), Status.INVALID_ARGUMENT, "no method Serach"),
        (("alice", "Search"), Status.INVALID_ARGUMENT, "needs the name"),
        (("alice", "/a.B"), Status.INVALID_ARGUMENT, "not the path of a method"),
        (("alice", "/a.B/C/D"), Status.INVALID_ARGUMENT, "not the path of a method"),
        (
            ("alice", "/milvus.proto.milvus.MilvusService/Serach"),
            Status.INVALID_ARGUMENT,
            "no method Serach",
        ),
        (("alice", "Search", "a.b"), Status.INVALID_ARGUMENT, "invalid collection name"),
    ],
)
async def test_a_question_without_an_answer_is_refused(house, question, status, words):
    with pytest.raises(GRPCError) as refused:
        await house.ask(*question, caller="root")
    assert refused.value.status is status
    assert words in refused.value.message


async def test_a_call_that_the_relay_has_not_made_is_refused(house):
    with pytest.raises(GRPCError) as refused:
        await house.ask("alice", "Search", "books", caller="")
    assert refused.value.status is Status.PERMISSION_DENIED


async def test_an_alias_stands_for_its_collection_as_in_the_call():
    backend = Backend()
    backend.aliases["sales", "library"] = "books"
    backend.aliases["sales", "cinema"] = "films"
    async with opened(aliases=Aliases(backend, clock=ManualClock())) as house:
        found = await house.ask("alice", "Search", "library", database="sales", caller="root")
        assert (found.allowed, found.objects) == (True, ["library"])
        assert found.grants == [pb.Grant("Collection", "sales", "books", "Search")]
        refused = await house.ask("alice", "Search", "cinema", database="sales")
        assert refused.smallest_grants == [pb.Grant("Collection", "sales", "cinema", "Search")]
        assert backend.asked == {"library": 1, "cinema": 1}
        # The backend is asked only if the decision can depend on it.
        assert not (await house.ask("alice", "Search", "library")).allowed
        assert (await house.ask("alice", "Search", "books", database="sales")).allowed
        assert backend.asked == {"library": 1, "cinema": 1}


async def test_settings_count():
    async with opened(enforced=False) as house:
        found = await house.ask("alice", "Search", "films")
        assert (found.allowed, found.reason) == (True, pb.Reason.NOT_ENFORCED)
        # It says already what is missing when roles are enforced.
        assert found.smallest_grants == [pb.Grant("Collection", "default", "films", "Search")]
        granted = await house.ask("alice", "Search", "books", database="sales")
        assert (granted.reason, granted.role) == (pb.Reason.GRANTED, "reader")
        metrics = await house.ask("alice", "GetMetrics")
        assert (metrics.allowed, metrics.reason) == (True, pb.Reason.NOT_ENFORCED)
        assert metrics.role == "admin"
        # The methods about users and roles are always decided by roles.
        assert not (await house.ask("alice", "CreateRole")).allowed
    async with opened(strict=False) as house:
        assert (await house.ask("alice", "GetMetrics")).reason == pb.Reason.OPEN
    async with opened(root_is_bound=True) as house:
        assert not (await house.ask("root", "Search", "books")).allowed
