"""Roles in the relay: which calls pass, which are refused, and what changes them later."""

import asyncio
import gc
import gzip
import sys

import pytest
from pymilvus.grpc_gen import milvus_pb2 as milvus

from tests.support.credentials import (
    ManualClock,
    ScriptedSource,
    observed_authentication,
    role_cache,
)
from tests.support.header_blocks import UNLIMITED, request_head
from tests.support.memory_relay import MemoryRelay, memory_relay
from tests.support.raw_http2 import message
from tests.support.relay_parts import ScriptedGatekeeper
from tests.support.waiting import eventually
from vecguard.errors import Status, UnavailableError
from vecguard.proxy.audit.audit_log import NoAudit
from vecguard.proxy.audit.event_aggregation import RefusedCall
from vecguard.proxy.authentication.trust import Trust
from vecguard.proxy.authorization.methods import ALIAS_CHANGES, METHODS
from vecguard.proxy.authorization.policy import Grant
from vecguard.proxy.http2.hpack.header_decoder import HeaderDecoder
from vecguard.proxy.identity_headers import read_caller
from vecguard.proxy.permissions.authorizer import RoleAuthorizer
from vecguard.proxy.principal import ANONYMOUS, Authority, Principal
from vecguard.proxy.relay.clients.balancers import Forwarding
from vecguard.proxy.revocation.revocations import Revocations

SEARCH = b"/milvus.proto.milvus.MilvusService/Search"
SEARCH_BOOKS = Grant("Collection", "default", "books", "PrivilegeSearch")
OVERFLOW = b"x" * 40_000


def path_of(method):
    return b"/milvus.proto.milvus.MilvusService/" + method.encode()


def search(collection="books", database="", **fields):
    return message(
        milvus.SearchRequest(
            collection_name=collection, db_name=database, **fields
        ).SerializeToString()
    )


class SwitchedTrust(Trust):
    """Valid unless a test says otherwise."""

    def __init__(self):
        self.valid = asyncio.Event()
        self.valid.set()

    def is_valid(self, now=None):
        return self.valid.is_set()

    async def wait(self):
        await self.valid.wait()
        return True

    def explain(self):
        return UnavailableError("no lease")


class Audit(NoAudit):
    """Keeps the refused calls."""

    def __init__(self):
        self.calls = []

    def call_refused(self, call):
        self.calls.append(call)


class Relay:
    """A relay whose users have roles."""

    def __init__(self, relay: MemoryRelay, source, trust, credentials, roles):
        self.relay, self.source, self.trust = relay, source, trust
        self.credentials, self.roles = credentials, roles
        self.client = relay.client()

    async def call(self, path, data=b"", *fields, end=True):
        """Returns the number of a call after all that can happen has happened."""
        call = self.client.request(path, data, *fields, end=end)
        await self.relay.quiet()
        return call

    async def has_arrived(self, call):
        """Returns whether a call has reached the backend, and answers it if so."""
        streams = [
            (backend, there)
            for backend in self.relay.backends
            for there, stream in backend.streams.items()
            if not stream.closed and not stream.sent_end
        ]
        for backend, there in streams:
            backend.answer(there)
        await self.relay.quiet()
        if streams:
            assert self.client.status(call) == Status.OK.value
        return bool(streams)

    def status(self, call):
        status = self.client.status(call)
        return None if status is None else Status(status)

    def text(self, call):
        return self.client.value(call, b"grpc-message").decode().replace("%60", "`")


@pytest.fixture
def user():
    return Principal("alice", 101)


@pytest.fixture
async def house(user):
    async with opened(user) as house:
        yield house


def opened(user, **options):
    return _Opened(user, options)


class _Opened:
    def __init__(self, user, options):
        self.user, self.options = user, options

    async def __aenter__(self):
        source, clock, trust, audit = ScriptedSource(), ManualClock(), SwitchedTrust(), Audit()
        for username in ("alice", "root"):
            source.put(username, "secret1")
        source.grant("reader", SEARCH_BOOKS)
        source.grant("public")
        authentication = observed_authentication(source, clock=clock)
        roles = role_cache(source, clock=clock)
        authorizer = RoleAuthorizer(
            authentication.credentials,
            roles,
            trust,
            clock,
            **{
                "root_is_bound": False,
                "enforced": True,
                "strict": True,
                "max_request_bytes": 2**20,
                "audit": audit,
                "judge_again": self._judge_again,
            }
            | self.options,
        )
        gatekeeper = ScriptedGatekeeper()
        gatekeeper.admit_now = lambda authorization, client, earlier=None: self.user
        self._relay = memory_relay(gatekeeper=gatekeeper, authorizer=authorizer)
        relay = await self._relay.__aenter__()
        house = Relay(relay, source, trust, authentication.credentials, roles)
        house.audit, house.authorizer, house.clock = audit, authorizer, clock
        house.log_in = self._log_in
        house.revocations = self._revocations = Revocations(
            authentication.credentials, authentication.logins, roles, relay.open_calls
        )
        return house

    def _judge_again(self, username):
        self._revocations.judge_open_calls(username)

    def _log_in(self, user):
        """Makes this the user of the calls that follow."""
        self.user = user

    async def __aexit__(self, *error):
        await self._relay.__aexit__(*error)


async def test_a_user_may_do_what_a_role_allows_and_nothing_else(house):
    house.source.give("alice", "reader")
    assert await house.has_arrived(await house.call(SEARCH, search()))
    refused = await house.call(SEARCH, search("films"))
    assert house.status(refused) is Status.PERMISSION_DENIED
    assert house.text(refused) == (
        "PrivilegeSearch: permission deny to alice in the `default` database"
    )
    assert not await house.has_arrived(refused)
    assert house.audit.calls == [
        RefusedCall("alice", "192.0.2.1", "Search", "Search", ("films",), "default")
    ]
    assert (house.authorizer.allowed, house.authorizer.refused) == (1, 1)


@pytest.mark.parametrize(
    ("method", "request_", "recorded"),
    [
        ("SelectUser", milvus.SelectUserRequest(user=milvus.UserEntity(name="bob")),
         ("SelectUser", "SelectUser", ("bob",), "*")),
        ("SelectUser", milvus.SelectUserRequest(), ("SelectUser", "SelectUser", ("*",), "*")),
        ("ListCredUsers", milvus.ListCredUsersRequest(),
         ("ListCredUsers", "SelectOwnership", ("*",), "*")),
        ("SelectGrant",
         milvus.SelectGrantRequest(
             entity=milvus.GrantEntity(role=milvus.RoleEntity(name="other"))
         ),
         ("SelectGrant", "SelectOwnership", ("*",), "*")),
        ("SelectRole", milvus.SelectRoleRequest(), ("SelectRole", "SelectOwnership", ("*",), "*")),
        ("UpdateCredential", milvus.UpdateCredentialRequest(username="bob"),
         ("UpdateCredential", "UpdateUser", ("bob",), "*")),
        ("OperateUserRole", milvus.OperateUserRoleRequest(username="alice", role_name="admin"),
         ("OperateUserRole", "ManageOwnership", ("*",), "*")),
        ("BackupRBAC", milvus.BackupRBACMetaRequest(), ("BackupRBAC", "BackupRBAC", ("*",), "*")),
        ("Insert", milvus.InsertRequest(collection_name="books"),
         ("Insert", "Insert", ("books",), "default")),
        ("GetMetrics", milvus.GetMetricsRequest(), ("GetMetrics", "admin", None, "*")),
        ("NewMethod", milvus.GetMetricsRequest(), (None, "admin", None, "*")),
    ],
)  # fmt: skip
async def test_every_refusal_is_recorded(house, method, request_, recorded):
    house.source.give("alice", "reader")
    refused = await house.call(path_of(method), message(request_.SerializeToString()))
    assert house.status(refused) is Status.PERMISSION_DENIED
    assert house.audit.calls == [RefusedCall("alice", "192.0.2.1", *recorded)]
    assert house.authorizer.refused == 1


async def test_the_end_of_an_open_call_is_recorded_as_a_refusal(house):
    house.source.give("alice", "reader")
    call = await house.call(SEARCH, search())
    house.revocations.change_roles_of("alice", house.source.give("alice"))
    await house.relay.quiet()
    assert house.status(call) is Status.PERMISSION_DENIED
    assert house.audit.calls == [
        RefusedCall("alice", "192.0.2.1", "Search", "Search", ("books",), "default")
    ]


async def test_a_user_without_a_role_has_the_rights_of_public(house):
    refused = await house.call(SEARCH, search())
    assert house.status(refused) is Status.PERMISSION_DENIED
    house.source.grant("public", SEARCH_BOOKS)
    house.revocations.change_policy(house.source.revision)
    await house.relay.quiet()
    assert await house.has_arrived(await house.call(SEARCH, search()))


async def test_known_rights_are_decided_without_a_read(house):
    house.source.give("alice", "reader")
    await house.call(SEARCH, search())
    for _ in range(5):
        await house.call(SEARCH, search())
        await house.call(SEARCH, search("films"))
    assert house.source.fetches == {"alice": 1}
    assert house.source.role_fetches.total() == 1


@pytest.mark.parametrize(
    ("body", "header", "allowed"),
    [
        ("", [], True),
        ("default", [], True),
        ("other", [], False),
        ("", [b"default"], True),
        ("", [b""], True),
        ("", [b"other"], False),
        ("default", [b"other"], True),
        ("other", [b"default"], False),
    ],
)
async def test_the_database_of_the_request_is_taken_before_that_of_the_header(
    house, body, header, allowed
):
    house.source.give("alice", "reader")
    fields = [(b"dbname", value) for value in header]
    call = await house.call(SEARCH, search(database=body), *fields)
    assert await house.has_arrived(call) is allowed
    if not allowed:
        assert "in the `other` database" in house.text(call)


@pytest.mark.parametrize("values", [[b"default", b"default"], [b"", b"other"], [b"\xff"]])
async def test_an_ambiguous_database_is_refused(house, values):
    house.source.give("alice", "reader")
    call = await house.call(SEARCH, search(), *[(b"dbname", value) for value in values])
    assert house.status(call) is Status.INVALID_ARGUMENT
    assert not await house.has_arrived(call)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (search() + search(), Status.INTERNAL),
        (search()[:-1], Status.INTERNAL),
        (b"", Status.INTERNAL),
        (message(b"\x18\x01"), Status.INTERNAL),
        (search("a.b"), Status.INVALID_ARGUMENT),
        (search("*"), Status.INVALID_ARGUMENT),
        (search(database="*"), Status.INVALID_ARGUMENT),
    ],
)
async def test_a_request_that_cannot_be_judged_does_not_arrive(house, data, status):
    house.source.give("alice", "reader")
    call = await house.call(SEARCH, data)
    assert house.status(call) is status
    assert not await house.has_arrived(call)


@pytest.mark.parametrize("field", ["db_name", "collection_name"])
async def test_a_refusal_quotes_the_beginning_of_a_long_name_only(house, field):
    """Some clients close the connection, with the calls of others, at long trailers."""
    house.source.give("alice", "reader")
    request = milvus.SearchRequest(**{"collection_name": "x", field: "\u200b" * 20_000 + "."})
    call = await house.call(SEARCH, message(request.SerializeToString()))
    assert house.status(call) is Status.INVALID_ARGUMENT
    assert len(house.client.value(call, b"grpc-message")) < 16_384


async def test_the_last_of_two_names_counts(house):
    house.source.give("alice", "reader")
    field = search("films")[5:]
    allowed = await house.call(SEARCH, message(field + search("books")[5:]))
    assert await house.has_arrived(allowed)
    refused = await house.call(SEARCH, message(search("books")[5:] + field))
    assert house.status(refused) is Status.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("encoding", "status"),
    [(b"gzip", Status.OK), (b"snappy", Status.UNIMPLEMENTED), (None, Status.INTERNAL)],
)
async def test_a_compressed_request_is_inflated_or_refused(house, encoding, status):
    house.source.give("alice", "reader")
    packed = gzip.compress(search()[5:])
    data = b"\x01" + len(packed).to_bytes(4) + packed
    fields = [] if encoding is None else [(b"grpc-encoding", encoding)]
    call = await house.call(SEARCH, data, *fields)
    await house.has_arrived(call)
    assert house.status(call) is status


async def test_root_needs_no_role_and_is_not_read():
    async with opened(Principal("root", 102)) as house:
        assert await house.has_arrived(await house.call(SEARCH, search()))
        assert await house.has_arrived(await house.call(path_of("NoSuchMethod")))
        assert not house.source.fetches


async def test_root_needs_a_role_if_it_is_bound():
    async with opened(Principal("root", 102), root_is_bound=True) as house:
        assert house.status(await house.call(SEARCH, search())) is Status.PERMISSION_DENIED
        house.source.give("root", "admin")
        house.revocations.change_roles_of("root", house.source.revision)
        await house.relay.quiet()
        assert await house.has_arrived(await house.call(SEARCH, search()))


async def test_nothing_is_judged_where_authorization_is_off():
    async with opened(ANONYMOUS) as house:
        assert await house.has_arrived(await house.call(SEARCH, search()))


async def test_an_admin_may_call_everything(house):
    house.source.give("alice", "admin")
    for path in (SEARCH, path_of("ReplicateMessage"), path_of("NoSuchMethod")):
        assert await house.has_arrived(await house.call(path, search("any.name")))
    assert not house.source.role_fetches


@pytest.mark.parametrize("method", ["ReplicateMessage", "GetMetrics", "NoSuchMethod"])
async def test_other_methods_of_milvus_are_for_admins(house, method):
    house.source.give("alice", "reader")
    call = await house.call(path_of(method), message(b""))
    assert house.status(call) is Status.PERMISSION_DENIED
    assert "role admin" in house.text(call)
    assert house.audit.calls == [
        RefusedCall(
            "alice",
            "192.0.2.1",
            None if method == "NoSuchMethod" else method,
            "admin",
            None,
            "*",
        )
    ]


async def test_milvus_s_own_rule_opens_them_to_every_login(user):
    async with opened(user, strict=False) as house:
        call = await house.call(path_of("GetMetrics"), message(b""))
        assert await house.has_arrived(call)
        unknown = await house.call(path_of("NoSuchMethod"), message(b""))
        assert house.status(unknown) is Status.PERMISSION_DENIED


@pytest.mark.parametrize("path", [path_of("Connect"), b"/qdrant.Points/Search"])
async def test_what_needs_no_role_is_not_read(house, path):
    assert await house.has_arrived(await house.call(path, b"no message"[:0]))
    assert not house.source.fetches


async def test_without_enforcement_only_accounts_need_roles(user):
    async with opened(user, enforced=False) as house:
        assert await house.has_arrived(await house.call(SEARCH, search("films")))
        assert await house.has_arrived(await house.call(path_of("NoSuchMethod")))
        create = await house.call(path_of("CreateCredential"), message(b""))
        assert house.status(create) is Status.PERMISSION_DENIED


async def test_users_may_change_their_own_password_and_see_themselves(house):
    own = milvus.UpdateCredentialRequest(username="alice").SerializeToString()
    assert await house.has_arrived(await house.call(path_of("UpdateCredential"), message(own)))
    other = milvus.UpdateCredentialRequest(username="bob").SerializeToString()
    refused = await house.call(path_of("UpdateCredential"), message(other))
    assert house.text(refused) == (
        "PrivilegeUpdateUser: permission deny to alice in the `*` database"
    )
    me = milvus.SelectUserRequest(user={"name": "alice"}).SerializeToString()
    assert await house.has_arrived(await house.call(path_of("SelectUser"), message(me)))
    everybody = milvus.SelectUserRequest().SerializeToString()
    assert house.status(await house.call(path_of("SelectUser"), message(everybody))) is (
        Status.PERMISSION_DENIED
    )


@pytest.mark.parametrize(("role", "allowed"), [("reader", True), ("public", True), ("x", False)])
async def test_users_may_see_the_grants_of_their_own_roles(house, role, allowed):
    house.source.give("alice", "reader")
    data = milvus.SelectGrantRequest(entity={"role": {"name": role}}).SerializeToString()
    call = await house.call(path_of("SelectGrant"), message(data))
    assert await house.has_arrived(call) is allowed


UPDATE_BOB = Grant("User", "*", "bob", "PrivilegeUpdateUser")
CREATE_USERS = Grant("Global", "*", "*", "PrivilegeCreateOwnership")


@pytest.mark.parametrize(
    ("method", "request_", "roles", "role"),
    [
        ("UpdateCredential", milvus.UpdateCredentialRequest(username="alice"), (), None),
        ("UpdateCredential", milvus.UpdateCredentialRequest(username="bob"), ("keeper",), "keeper"),
        ("UpdateCredential", milvus.UpdateCredentialRequest(username="bob"), ("admin",), "admin"),
        ("CreateCredential", milvus.CreateCredentialRequest(), ("reader", "keeper"), "keeper"),
        ("CreateCredential", milvus.CreateCredentialRequest(), ("admin", "keeper"), "admin"),
        ("ListIndexedSegment", milvus.CreateCredentialRequest(), ("admin",), "admin"),
    ],
)
async def test_the_role_that_allows_a_call_is_known_with_its_revision(
    house, method, request_, roles, role
):
    house.source.grant("keeper", UPDATE_BOB, CREATE_USERS)
    house.source.give("alice", *roles)
    read_at = house.source.revision
    await house.call(path_of(method), message(request_.SerializeToString()))
    [(_, permission)] = house.relay.open_calls.with_permission(None)
    evidence = HeaderDecoder(UNLIMITED).decode(permission.evidence())
    found = {field.name.decode(): field.value.decode() for field in evidence}
    authority = read_caller({"x-vecguard-user": "alice", **found}).principal.authority
    expected = None if role is None else Authority(role, 0 if role == "admin" else read_at)
    assert authority == expected


async def test_a_long_request_passes_in_parts_and_is_judged_by_its_end(house):
    house.source.grant("reader", Grant("Collection", "default", "books", "PrivilegeInsert"))
    house.source.give("alice", "reader")
    insert = path_of("Insert")

    async def insert_into(*names):
        data = b"".join(
            milvus.InsertRequest(collection_name=name, hash_keys=range(20_000)).SerializeToString()
            for name in names
        )
        call = await house.call(insert, message(data)[:16_384], end=False)
        house.client.say(call, message(data)[16_384:])
        house.client.finish(call)
        await house.relay.quiet()
        return call

    assert await house.has_arrived(await insert_into("films", "books"))
    refused = await insert_into("books", "films")
    assert house.status(refused) is Status.PERMISSION_DENIED


async def test_a_message_that_came_at_once_may_be_ended_later(house):
    house.source.give("alice", "reader")
    for _ in range(2):  # the roles are unknown, and known
        call = await house.call(SEARCH, search(), end=False)
        house.client.say(call, b"", end=True)
        await house.relay.quiet()
        assert await house.has_arrived(call)


async def test_a_second_message_after_one_that_came_at_once_is_refused(house):
    house.source.give("alice", "reader")
    for _ in range(2):
        call = await house.call(SEARCH, search(), end=False)
        house.client.say(call, search("films"))
        await house.relay.quiet()
        assert house.status(call) is Status.INTERNAL
        assert not await house.has_arrived(call)


async def test_a_user_whose_roles_expired_is_judged_by_the_newest(house):
    house.source.grant("reader", Grant("Collection", "*", "*", "PrivilegeSearch"))
    house.source.give("alice", "reader")
    assert await house.has_arrived(await house.call(SEARCH, search()))
    house.source.grant("reader")
    house.clock.advance(3600)
    call = await house.call(SEARCH, search())
    assert house.status(call) is Status.PERMISSION_DENIED


async def test_memory_does_not_decide_without_trust(house):
    house.source.grant("reader", Grant("Collection", "*", "*", "PrivilegeSearch"))
    house.source.give("alice", "reader")
    assert await house.has_arrived(await house.call(SEARCH, search()))
    house.trust.valid.clear()
    call = await house.call(SEARCH, search())
    assert house.status(call) is None
    assert not await house.has_arrived(call)
    house.trust.valid.set()
    await house.relay.quiet()
    assert await house.has_arrived(call)


async def searches(house, *requests, **options):
    """Calls of one client that stay open, by number, and the permission of each."""
    return {
        call: permission_of(house, call)
        for call in [await house.call(SEARCH, request, **options) for request in requests]
    }


def permission_of(house, call):
    """What allows an open call; None if it is not open."""
    return next(
        (
            open_call.permission
            for open_call in house.relay.open_calls
            if open_call.client.id == call
        ),
        None,
    )


def vector(content, collection="books"):
    return search(collection, placeholder_group=content * 200)


async def test_calls_that_differ_in_nothing_that_decides_share_one_permission(house):
    house.source.give("alice", "reader")
    await house.has_arrived(await house.call(SEARCH, vector(b"a")))
    calls = await searches(house, vector(b"a"), vector(b"b"), vector(b"c"))
    first, *others = calls.values()
    assert first.is_given
    assert all(other is first for other in others)
    assert house.authorizer.allowed == 4
    for call in calls:
        await house.has_arrived(call)


async def test_a_call_about_another_collection_is_judged_by_itself(house):
    house.source.give("alice", "reader")
    for collection in ("books", "films", "books", "films"):
        call = await house.call(SEARCH, vector(b"a", collection))
        assert await house.has_arrived(call) is (collection == "books")
    assert (house.authorizer.allowed, house.authorizer.refused) == (2, 2)


async def test_a_repeated_call_with_another_database_in_its_header_is_judged_by_itself(house):
    house.source.give("alice", "reader")
    for database in (b"default", b"default", b"other", b"default"):
        call = await house.call(SEARCH, vector(b"a"), (b"dbname", database))
        assert await house.has_arrived(call) is (database == b"default")


async def test_a_repeated_call_of_another_user_is_judged_by_itself(house):
    house.source.put("bob", "secret1")
    house.source.give("alice", "reader")
    for username in ("alice", "bob", "alice", "bob"):
        house.log_in(Principal(username, 101))
        call = await house.call(SEARCH, vector(b"a"))
        assert await house.has_arrived(call) is (username == "alice")


async def test_a_repeated_call_that_has_not_come_in_one_piece_is_judged_by_itself(house):
    house.source.give("alice", "reader")
    for _ in range(3):
        call = await house.call(SEARCH, vector(b"a"), end=False)
        house.client.say(call, vector(b"a"), end=True)
        await house.relay.quiet()
        assert house.status(call) is Status.INTERNAL
    assert await house.has_arrived(await house.call(SEARCH, vector(b"a")))


async def test_no_call_is_allowed_as_an_earlier_one_after_the_roles_have_changed(house):
    house.source.give("alice", "reader")
    for _ in range(3):
        assert await house.has_arrived(await house.call(SEARCH, vector(b"a")))
    house.source.grant("reader")
    house.revocations.change_policy(house.source.revision)
    assert house.status(await house.call(SEARCH, vector(b"a"))) is Status.PERMISSION_DENIED
    house.source.grant("reader", SEARCH_BOOKS)
    house.revocations.change_policy(house.source.revision)
    for _ in range(3):
        assert await house.has_arrived(await house.call(SEARCH, vector(b"a")))
    house.source.give("alice")
    house.revocations.change_roles_of("alice", house.source.revision)
    assert house.status(await house.call(SEARCH, vector(b"a"))) is Status.PERMISSION_DENIED


async def test_calls_share_a_new_permission_soon_after_the_roles_have_changed(house):
    house.source.give("alice", "reader")
    for _ in range(2):
        await house.has_arrived(await house.call(SEARCH, vector(b"a")))
    house.revocations.change_policy(house.source.grant("reader", SEARCH_BOOKS))
    # The first one reads the roles.
    _, second, third = (await searches(house, *[vector(b"a")] * 3)).values()
    assert second is third
    assert second.is_given


async def test_no_call_is_allowed_as_an_earlier_one_without_trust(house):
    house.source.give("alice", "reader")
    for _ in range(3):
        assert await house.has_arrived(await house.call(SEARCH, vector(b"a")))
    house.trust.valid.clear()
    call = await house.call(SEARCH, vector(b"a"))
    assert house.status(call) is None
    assert not await house.has_arrived(call)
    house.trust.valid.set()
    await house.relay.quiet()
    assert await house.has_arrived(call)


async def test_a_change_of_roles_ends_all_open_calls_that_share_a_permission(house):
    house.source.give("alice", "reader")
    await house.has_arrived(await house.call(SEARCH, vector(b"a")))
    calls = await searches(house, vector(b"a"), vector(b"b"))
    assert len(set(calls.values())) == 1
    house.source.grant("reader")
    house.revocations.change_policy(house.source.revision)
    await house.relay.quiet()
    assert [house.status(call) for call in calls] == [Status.PERMISSION_DENIED] * 2
    assert len(house.audit.calls) == house.authorizer.refused == 2


async def test_calls_that_change_follow_each_other_by_what_they_are(house):
    """Another outline is kept after a while, however many calls the old one does not fit."""
    house.source.grant("reader", Grant("Collection", "default", "*", "PrivilegeSearch"))
    house.source.give("alice", "reader")
    for _ in range(2):  # the roles are unknown, and known
        await house.has_arrived(await house.call(SEARCH, vector(b"a")))
    for _ in range(20):
        await house.has_arrived(await house.call(SEARCH, vector(b"a", "films")))
    calls = await searches(house, vector(b"a", "films"), vector(b"a", "films"))
    assert len(set(calls.values())) == 1


async def test_permissions_of_few_methods_are_kept_for_a_client_while_it_is_there(house):
    methods = [
        method
        for method, need in METHODS.items()
        if need.database == 2 and need.name in ((), (3,)) and not (need.names or need.cluster)
    ]
    methods.sort(key=lambda method: method not in ALIAS_CHANGES)
    assert methods[0] in ALIAS_CHANGES
    house.source.grant(
        "reader",
        Grant("Collection", "default", "*", "*"),
        Grant("Global", "default", "*", "*"),
    )
    house.source.give("alice", "reader")
    for _ in range(2):
        for method in methods:
            assert await house.has_arrived(await house.call(method, search()))
    (link,) = house.relay.links
    assert len(link.precedents) == 4
    assert not link.precedents.keys() & ALIAS_CHANGES
    house.client.cut()
    await house.relay.quiet()
    assert not link.precedents


@pytest.mark.parametrize("is_judged_again", [False, True])
async def test_a_client_that_does_nothing_keeps_no_outdated_rights(house, is_judged_again):
    async def change():
        house.revocations.change_policy(house.source.grant("reader", SEARCH_BOOKS))
        await house.relay.quiet()

    house.source.give("alice", "reader")
    for _ in range(2):
        assert await house.has_arrived(await house.call(SEARCH, vector(b"a")))
    call = await house.call(SEARCH, vector(b"b"))
    if is_judged_again:
        await change()
    await house.has_arrived(call)
    rights = house.roles.peek(("reader",))
    assert rights is not None
    await change()
    gc.collect()
    assert sys.getrefcount(rights) == 2  # the variable, and the argument


async def test_calls_of_accounts_share_no_permission_because_each_has_evidence(house):
    house.source.grant("keeper", Grant("User", "*", "bob", "PrivilegeUpdateUser"))
    house.source.give("alice", "keeper")
    request = milvus.UpdateCredentialRequest(username="bob", newPassword="x" * 200)
    for _ in range(3):
        call = await house.call(path_of("UpdateCredential"), message(request.SerializeToString()))
        assert await house.has_arrived(call)
    (link,) = house.relay.links
    assert not link.precedents


async def test_calls_of_different_clients_behind_a_balancer_share_no_permission(house):
    house.source.give("alice", "reader")
    (link,) = house.relay.links
    link.forwarding = Forwarding(1, str)
    for _ in range(2):  # the roles are unknown, and known
        await house.has_arrived(await house.call(SEARCH, vector(b"a")))
    calls = await searches(house, vector(b"a"), vector(b"b"))
    assert len(set(calls.values())) == 2
    assert not link.precedents


async def test_no_long_request_is_kept_for_later_ones(house):
    house.source.give("alice", "reader")
    (link,) = house.relay.links
    for content, kept in (({"output_fields": ["x" * 100] * 11}, 0), ({"dsl": "x" * 1100}, 1)):
        for _ in range(2):
            assert await house.has_arrived(await house.call(SEARCH, search(**content)))
        assert len(link.precedents) == kept


async def test_a_part_of_a_request_does_not_pass_if_the_user_may_do_it_nowhere(house):
    house.source.give("alice", "reader")
    await house.call(SEARCH, search())
    data = milvus.InsertRequest(collection_name="books", hash_keys=range(20_000))
    call = await house.call(
        path_of("Insert"), message(data.SerializeToString())[:16_384], end=False
    )
    assert house.status(call) is Status.PERMISSION_DENIED


async def test_a_part_of_a_request_passes_once_the_roles_have_changed(house):
    house.source.give("alice", "reader")
    await house.call(SEARCH, search())
    house.source.grant("reader", Grant("Collection", "default", "books", "PrivilegeInsert"))
    house.revocations.change_policy(house.source.revision)
    data = milvus.InsertRequest(collection_name="books", hash_keys=range(20_000))
    whole = message(data.SerializeToString())
    call = await house.call(path_of("Insert"), whole[:16_384], end=False)
    house.client.say(call, whole[16_384:], end=True)
    await house.relay.quiet()
    assert await house.has_arrived(call)


async def test_a_role_on_everything_is_not_asked_for_the_name(house):
    house.source.grant("reader", Grant("Collection", "*", "*", "PrivilegeSearch"))
    house.source.give("alice", "reader")
    await house.has_arrived(await house.call(SEARCH, search()))
    unfinished = await house.call(SEARCH, b"", end=False)
    assert house.relay.backends[0].streams
    assert house.status(unfinished) is None


async def test_a_stream_is_decided_before_its_messages(house):
    path = path_of("CreateReplicateStream")
    refused = await house.call(path, end=False)
    assert house.status(refused) is Status.PERMISSION_DENIED
    house.source.grant("reader", Grant("Global", "*", "*", "PrivilegeUpdateReplicateConfiguration"))
    house.source.give("alice", "reader")
    house.revocations.change_roles_of("alice", house.source.revision)
    await house.relay.quiet()
    house.revocations.change_policy(house.source.revision)
    await house.relay.quiet()
    stream = await house.call(path, end=False)
    assert house.status(stream) is None
    assert house.relay.backends
    house.source.grant("reader")
    house.revocations.change_policy(house.source.revision)
    await house.relay.quiet()
    assert house.status(stream) is Status.PERMISSION_DENIED


async def test_a_change_ends_the_open_calls_that_it_forbids_and_no_others(house):
    house.source.grant(
        "reader", SEARCH_BOOKS, Grant("Collection", "default", "books", "PrivilegeQuery")
    )
    house.source.give("alice", "reader")
    query = milvus.QueryRequest(collection_name="books").SerializeToString()
    searching = await house.call(SEARCH, search())
    querying = await house.call(path_of("Query"), message(query))
    house.source.grant("reader", SEARCH_BOOKS)
    house.revocations.change_policy(house.source.revision)
    await house.relay.quiet()
    assert house.status(searching) is None
    assert house.status(querying) is Status.PERMISSION_DENIED
    house.source.give("alice")
    house.revocations.change_roles_of("bob", house.source.revision)
    await house.relay.quiet()
    assert house.status(searching) is None
    house.revocations.change_roles_of("alice", house.source.revision)
    await house.relay.quiet()
    assert house.status(searching) is Status.PERMISSION_DENIED


async def test_a_call_is_decided_by_the_roles_that_are_held_when_its_request_is_there(house):
    house.source.give("alice", "reader")
    assert await house.has_arrived(await house.call(SEARCH, search()))
    call = await house.call(SEARCH, b"", end=False)
    house.source.grant("reader")
    house.revocations.change_policy(house.source.revision)
    await house.relay.quiet()
    house.client.say(call, search())
    house.client.finish(call)
    await house.relay.quiet()
    assert house.status(call) is Status.PERMISSION_DENIED


async def test_an_open_call_that_was_not_read_ends_if_it_may_be_forbidden_now(house):
    house.source.grant("reader", Grant("Collection", "*", "*", "PrivilegeSearch"))
    house.source.give("alice", "reader")
    first = await house.call(SEARCH, search())
    await house.has_arrived(first)
    unread = await house.call(SEARCH, search())
    house.source.grant("reader", Grant("Collection", "*", "*", "PrivilegeSearch"), SEARCH_BOOKS)
    house.revocations.change_policy(house.source.revision)
    await house.relay.quiet()
    assert house.status(unread) is None
    house.source.grant("reader", SEARCH_BOOKS)
    house.revocations.change_policy(house.source.revision)
    await house.relay.quiet()
    assert house.status(unread) is Status.UNAVAILABLE
    assert "roles" in house.text(unread)


async def test_an_open_call_that_may_concern_only_its_user_can_be_repeated(house):
    """Without the request it is unknown whether the user needs a grant at all."""
    house.source.grant("reader", Grant("User", "*", "*", "PrivilegeUpdateUser"))
    house.source.give("alice", "reader")
    await house.has_arrived(await house.call(SEARCH, search()))
    own = message(milvus.UpdateCredentialRequest(username="alice").SerializeToString())
    unread = await house.call(path_of("UpdateCredential"), own)
    house.source.grant("reader")
    house.revocations.change_policy(house.source.revision)
    await house.relay.quiet()
    assert house.status(unread) is Status.UNAVAILABLE
    assert await house.has_arrived(await house.call(path_of("UpdateCredential"), own))


async def test_open_calls_end_if_the_new_roles_cannot_be_read(house):
    house.source.give("alice", "reader")
    searching = await house.call(SEARCH, search())
    house.source.error = UnavailableError("root coord is away")
    house.revocations.change_policy(house.source.revision + 1)
    await house.relay.quiet()
    assert house.status(searching) is Status.UNAVAILABLE


async def test_open_calls_of_many_users_are_judged_together(house):
    """One after the other, their roles would not be read in time."""
    calls = []
    for number in range(20):
        username = f"user{number}"
        house.source.put(username, "secret1")
        house.source.grant(f"role{number}", SEARCH_BOOKS)
        house.source.give(username, f"role{number}")
        house.log_in(Principal(username, 1))
        calls.append(await house.call(SEARCH, search()))
    house.source.gate.close()
    house.revocations.change_policy(house.source.revision + 1)
    await house.source.gate.arrivals(20)
    house.source.revision += 1
    house.source.gate.open()
    await house.relay.quiet()
    assert [house.status(call) for call in calls] == [None] * 20


async def test_open_calls_end_if_the_new_roles_do_not_come(house, monkeypatch):
    monkeypatch.setattr("vecguard.proxy.revocation.revocations._JUDGING_SECONDS", 0.01)
    house.source.give("alice", "reader")
    searching = await house.call(SEARCH, search())
    house.source.gate.close()
    house.revocations.change_policy(house.source.revision + 1)

    async def has_ended():
        await house.relay.quiet()
        return house.status(searching) is Status.UNAVAILABLE

    await eventually(has_ended)
    house.source.gate.open()


async def test_changes_that_follow_each_other_are_judged_together(house):
    house.source.give("alice", "reader")
    await house.call(SEARCH, search())
    house.source.gate.close()
    for _ in range(10):
        house.revocations.change_policy(house.source.grant("reader", SEARCH_BOOKS))
        house.revocations.change_roles_of("alice", house.source.revision)
    await house.source.gate.arrivals()
    before = house.source.role_fetches.total()
    house.revocations.change_policy(house.source.grant("reader", SEARCH_BOOKS))
    house.source.gate.open()
    await house.relay.quiet()
    assert house.source.role_fetches.total() - before <= 3


async def test_a_bug_in_judging_ends_the_call(house, monkeypatch):
    house.source.give("alice", "reader")
    searching = await house.call(SEARCH, search())
    monkeypatch.setattr(house.source, "fetch_roles", None)
    house.revocations.change_policy(house.source.revision + 1)
    await house.relay.quiet()
    assert house.status(searching) is Status.INTERNAL


async def test_a_decision_waits_for_the_lease(house):
    house.source.give("alice", "reader")
    await house.has_arrived(await house.call(SEARCH, search()))
    house.trust.valid.clear()
    waiting = await house.call(SEARCH, search("films"))
    assert house.status(waiting) is None
    house.trust.valid.set()
    await house.relay.quiet()
    assert house.status(waiting) is Status.PERMISSION_DENIED


async def test_a_decision_is_made_by_roles_that_change_while_it_waits(house):
    house.source.give("alice", "reader")
    house.source.gate.close()
    waiting = await house.call(SEARCH, search())
    house.source.give("alice")
    house.revocations.change_roles_of("alice", house.source.revision)
    await house.relay.quiet()
    house.source.gate.open()
    await house.relay.quiet()
    assert house.status(waiting) is Status.PERMISSION_DENIED


@pytest.mark.parametrize("changed", ["the user's roles", "the role's grants"])
async def test_a_call_that_has_begun_is_decided_by_what_holds_at_its_end(house, changed):
    house.source.give("alice", "reader")
    await house.has_arrived(await house.call(SEARCH, search()))
    begun = await house.call(SEARCH, search(), end=False)
    if changed == "the user's roles":
        house.source.give("alice")
        house.revocations.change_roles_of("alice", house.source.revision)
        await house.relay.quiet()
    else:
        house.source.grant("reader")
        house.revocations.change_policy(house.source.revision)
        await house.relay.quiet()
    house.client.finish(begun)
    await house.relay.quiet()
    assert house.status(begun) is Status.PERMISSION_DENIED


async def test_a_call_that_has_begun_is_not_decided_after_the_lease(house):
    house.source.give("alice", "reader")
    await house.has_arrived(await house.call(SEARCH, search()))
    begun = await house.call(SEARCH, search(), end=False)
    house.trust.valid.clear()
    house.client.finish(begun)
    await house.relay.quiet()
    assert not await house.has_arrived(begun)
    house.trust.valid.set()
    await house.relay.quiet()
    assert await house.has_arrived(begun)


async def test_roles_that_never_rest_stop_no_call(house, monkeypatch):
    house.source.give("alice", "reader")
    fetch = house.source.fetch_roles

    async def changing(names):
        read = await fetch(names)
        house.roles.invalidate(house.source.grant("reader", SEARCH_BOOKS))
        return read

    monkeypatch.setattr(house.source, "fetch_roles", changing)
    assert await house.has_arrived(await house.call(SEARCH, search()))
    assert house.status(await house.call(SEARCH, search("films"))) is Status.PERMISSION_DENIED


async def test_a_call_that_is_decided_by_outdated_roles_is_judged_again(house):
    """Its decision was under way when the notice came, which left it out."""
    house.source.give("alice", "reader")
    house.source.gate.close()
    waiting = await house.call(SEARCH, search())
    house.source.gate.open()
    await house.source.gate.arrivals(0)
    house.source.gate.close()
    await house.relay.quiet()
    await house.source.gate.arrivals()
    house.revocations.change_policy(house.source.grant("reader"))
    house.source.gate.open()
    await house.relay.quiet()
    assert house.status(waiting) is Status.PERMISSION_DENIED


async def test_a_lease_that_is_lost_again_and_again_ends_the_call(house, monkeypatch):
    house.source.give("alice", "reader")
    monkeypatch.setattr(house.trust, "is_valid", lambda now=None: False)
    call = await house.call(SEARCH, search())
    assert house.status(call) is Status.RESOURCE_EXHAUSTED


async def test_many_paths_do_not_fill_memory(house):
    house.source.give("alice", "admin")
    authorizer = house.relay.listener._reception._authorizer
    await house.call(b"/a.B/" + b"x" * 300, message(b""))
    for number in range(1100):
        head = request_head(b"/a.B/C%d" % number)
        authorizer.permission(Principal("root", 102), head, None, None)
    assert len(authorizer._treatments) == 1024
