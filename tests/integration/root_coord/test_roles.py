"""Roles at an elected root coord: over the wire, with sessions, and at the beginning of a term."""

import asyncio
import gc

import pytest
from grpclib.client import UnaryUnaryMethod
from prometheus_client import CollectorRegistry

from tests.integration.root_coord.active_terms import leading
from tests.integration.root_coord.harness import SessionEnd
from tests.integration.root_coord.test_start import start_with
from tests.support.credentials import hashed
from vecguard.boot_clock import boot_clock
from vecguard.config import Settings
from vecguard.etcd import Delete, Put
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.grpc.raw_message import RawMessage
from vecguard.milvus_layout.role_records import Grantee
from vecguard.root_coord.active_term import ActiveTerm
from vecguard.root_coord.credentials import ensure_root
from vecguard.root_coord.metrics import RootCoordMetrics

FIRST = hashed("first1")
Outcome = pb.MutationOutcome
ANYBODY = pb.Actor(anonymous=True)
SEARCH = pb.Grant(
    object_type="Collection",
    database="default",
    object="books",
    privilege="PrivilegeSearch",
    grantor="root",
)


class Caller:
    """Makes changes without an actor."""

    def __init__(self, stub):
        self.stub = stub

    async def create(self, name):
        return await self.stub.create_role(pb.CreateRoleRequest(name=name, actor=ANYBODY))

    async def drop(self, name, *, force=True):
        return await self.stub.drop_role(pb.DropRoleRequest(name=name, force=force, actor=ANYBODY))

    async def give(self, user, role, *, give=True):
        return await self.stub.change_user_role(
            pb.ChangeUserRoleRequest(username=user, role=role, give=give, actor=ANYBODY)
        )

    async def grant(self, role, *grants, give=True):
        return await self.stub.change_grant(
            pb.ChangeGrantRequest(role=role, grants=list(grants), give=give, actor=ANYBODY)
        )

    async def group(self, name, *privileges):
        await self.stub.create_privilege_group(
            pb.CreatePrivilegeGroupRequest(name=name, actor=ANYBODY)
        )
        return await self.stub.change_privilege_group(
            pb.ChangePrivilegeGroupRequest(
                name=name, privileges=list(privileges), add=True, actor=ANYBODY
            )
        )

    async def roles(self, *names):
        return await self.stub.get_roles(pb.GetRolesRequest(names=list(names)))


@pytest.fixture
async def caller(harness):
    async def password():
        return FIRST

    await ensure_root(harness.store, password)
    await harness.active_term.ensure_roles()
    await harness.create("bob", FIRST)
    return Caller(harness.stub)


async def names_of(caller):
    return [role.name for role in (await caller.stub.list_roles(pb.ListRolesRequest())).roles]


# --- over the wire ----------------------------------------------------------------------


async def test_roles_and_their_groups_are_read_at_one_revision(harness, caller):
    await caller.create("reader")
    await caller.group("Readers", "Search", "Query")
    readers = pb.Grant(
        object_type="Global",
        database="default",
        object="*",
        privilege="PrivilegeGroupReaders",
        grantor="root",
    )
    granted = await caller.grant("reader", SEARCH, readers)
    assert granted.outcome is Outcome.APPLIED
    reply = await caller.roles("reader", "none", "a/b", "")
    assert (reply.term, reply.read_revision) == (harness.term, granted.revision)
    assert reply.roles == [pb.Role(name="reader", grants=[SEARCH, readers])]
    assert reply.groups == [pb.PrivilegeGroup(name="Readers", privileges=["Search", "Query"])]


async def test_a_credential_comes_with_its_roles(harness, caller):
    await caller.create("reader")
    await caller.give("bob", "reader")
    assert (await harness.get("bob")).credential.roles == ["reader"]
    users = (await harness.stub.list_users(pb.ListUsersRequest())).users
    assert {user.username: user.roles for user in users} == {"root": [], "bob": ["reader"]}
    (listed,) = [
        role
        for role in (await caller.stub.list_roles(pb.ListRolesRequest())).roles
        if role.name == "reader"
    ]
    assert listed == pb.Role(name="reader", users=["bob"])


async def test_a_proxy_learns_whose_roles_differ_from_what_it_holds(harness, caller):
    await harness.create("eve", FIRST)
    await caller.create("reader")
    held = [
        pb.UserRevision(name, (await harness.get(name)).credential.revision)
        for name in ("bob", "eve", "root")
    ]
    await caller.give("bob", "reader")
    await harness.update("eve", hashed("second2"))
    await caller.give("eve", "reader")
    nobody = pb.UserRevision("nobody", 0)
    reply = await harness.stub.sync_revisions(pb.SyncRevisionsRequest(held=[*held, nobody]))
    assert (reply.stale, reply.roles_changed) == (["eve"], ["bob"])
    held[0].roles = ["reader"]
    reply = await harness.stub.sync_revisions(pb.SyncRevisionsRequest(held=held[:1]))
    assert (reply.stale, reply.roles_changed) == ([], [])


async def test_refusals_have_their_outcome_and_detail(caller):
    assert (await caller.create("admin")).outcome is Outcome.ROLE_EXISTS
    assert (await caller.drop("public")).outcome is Outcome.ROLE_IS_BUILT_IN
    altered = await caller.stub.alter_role(pb.AlterRoleRequest(name="admin", actor=ANYBODY))
    assert altered.outcome is Outcome.ROLE_IS_BUILT_IN
    await caller.create("reader")
    unknown = pb.Grant().parse(bytes(SEARCH))
    unknown.privilege = "PrivilegeFly"
    refused = await caller.grant("reader", unknown)
    assert refused == pb.MutationReply(outcome=Outcome.PRIVILEGE_NOT_FOUND, detail="Fly")
    assert (await caller.group("Readers", "Fly")).detail == "Fly"
    await caller.group("Readers", "Search")
    dropped = await caller.stub.drop_privilege_group(
        pb.DropPrivilegeGroupRequest(name="Readers", actor=ANYBODY)
    )
    assert dropped.outcome is Outcome.APPLIED


async def test_the_groups_are_listed(caller):
    await caller.group("Readers", "Search")
    reply = await caller.stub.list_privilege_groups(pb.ListPrivilegeGroupsRequest())
    assert reply.groups[0] == pb.PrivilegeGroup(name="Readers", privileges=["Search"])
    assert len(reply.groups) == 10


async def test_a_backup_is_restored_over_the_wire(harness, caller):
    await caller.create("reader")
    await caller.give("bob", "reader")
    await caller.give("bob", "admin")
    await caller.grant("reader", SEARCH)
    await caller.group("Readers", "Search")
    backup = (await caller.stub.back_up_roles(pb.BackUpRolesRequest())).backup
    assert [user.username for user in backup.users] == ["bob"]
    assert backup.users[0].roles == ["admin", "reader"]
    restoring = pb.RestoreRolesRequest(backup=backup, actor=ANYBODY)
    refused = await caller.stub.restore_roles(restoring)
    assert (refused.outcome, refused.detail) == (Outcome.ROLE_EXISTS, "reader")
    await harness.stub.delete_credential(pb.DeleteCredentialRequest("bob", ANYBODY))
    await caller.drop("reader")
    await caller.stub.drop_privilege_group(
        pb.DropPrivilegeGroupRequest(name="Readers", actor=ANYBODY)
    )
    assert (await caller.stub.restore_roles(restoring)).outcome is Outcome.APPLIED
    assert (await caller.stub.back_up_roles(pb.BackUpRolesRequest())).backup == backup
    assert (await harness.get("bob")).credential.password == backup.users[0].password


async def test_an_actor_with_another_password_changes_no_role(harness, caller):
    revision = (await harness.get("bob")).credential.revision
    await harness.update("bob", hashed("second2"))
    reply = await harness.stub.create_role(
        pb.CreateRoleRequest(name="x", actor=pb.Actor(username="bob", revision=revision))
    )
    assert reply.outcome is Outcome.ACTOR_REVOKED
    assert await names_of(caller) == ["admin", "public"]


async def test_changes_are_measured(harness, caller):
    await caller.create("reader")
    await caller.create("reader")
    for outcome in ("applied", "role_exists"):
        labels = {"operation": "create_role", "outcome": outcome}
        samples = [
            sample
            for metric in harness.registry.collect()
            for sample in metric.samples
            if sample.labels == labels and sample.name.endswith("_total")
        ]
        assert [sample.value for sample in samples] == [1.0]


# --- sessions ---------------------------------------------------------------------------


async def noticed(session, change, count=1):
    """Runs a change to its answer, which waits for so many notices. Returns both."""
    task = asyncio.create_task(change)
    notices = []
    for _ in range(count):
        notices.append(await session.receive())
        assert not task.done()
        await session.acknowledge(notices[-1].sequence)
    return await task, notices


async def test_each_change_waits_for_the_sessions(harness, caller):
    async with SessionEnd(harness) as session:
        await session.open_with_lease()
        for change in (
            lambda: caller.create("reader"),
            lambda: caller.grant("reader", SEARCH),
            lambda: caller.grant("reader", SEARCH),
        ):
            reply, (notice,) = await noticed(session, change())
            assert notice.policy_revision == reply.revision > 0
            assert notice.invalidations == []
        for give in (True, False, True):
            reply, (notice,) = await noticed(session, caller.give("bob", "reader", give=give))
            assert notice.policy_revision == 0
            assert notice.invalidations == [pb.Invalidation("bob", reply.revision, roles_only=True)]
        reply, (policy, users) = await noticed(session, caller.drop("reader"), 2)
        assert policy.policy_revision == reply.revision
        assert users.invalidations == [pb.Invalidation("bob", reply.revision, roles_only=True)]


async def test_a_change_by_another_program_is_announced_and_an_own_one_only_once(harness, caller):
    async with SessionEnd(harness) as session:
        await session.open_with_lease()
        await noticed(session, caller.create("reader"))
        await noticed(session, caller.give("bob", "reader"))
        key = harness.keys.mapping("bob", "admin").encode()
        written = await harness.client.txn([], [Put(key, b"")])
        notice = await session.receive()
        assert notice.invalidations == [pb.Invalidation("bob", written.revision, roles_only=True)]


# --- terms ------------------------------------------------------------------------------


async def test_a_term_finds_its_roles_and_writes_nothing(etcd, prefix):
    root = prefix.decode()
    async with leading(etcd.endpoint, root, lease_ttl_seconds=5.0) as first:
        await first.active_term.ensure_roles()
        caller = Caller(first.stub)
        assert await names_of(caller) == ["admin", "public"]
        (public,) = (await caller.roles("public")).roles
        assert [(grant.object_type, grant.privilege) for grant in public.grants] == [
            ("Collection", "PrivilegeIndexDetail"),
            ("Global", "PrivilegeDescribeCollection"),
            ("Global", "PrivilegeListAliases"),
        ]
        revision = await first.active_term.role_store.revision()
        await first.active_term.ensure_roles()
        assert await first.active_term.role_store.revision() == revision


async def test_roles_of_the_configuration_exist_and_cannot_be_dropped(harness):
    settings = Settings(
        builtin_roles={
            "enable": True,
            "roles": '{"db_ro": {"privileges": [{"object_type": "Global", "object_name": "*", '
            '"privilege": "ShowCollections", "db_name": "*"}]}}',
        }
    )
    term = ActiveTerm(
        harness.client,
        harness.keys,
        harness.active_term.leadership,
        settings=settings,
        clock=lambda: 0.0,
        metrics=RootCoordMetrics(CollectorRegistry()),
    )
    await term.ensure_roles()
    assert (await term.roles.drop("db_ro", force=True, actor=None)).outcome.name == (
        "ROLE_IS_BUILT_IN"
    )
    (role,) = (await Caller(harness.stub).roles("db_ro")).roles
    assert [grant.privilege for grant in role.grants] == ["PrivilegeShowCollections"]


async def test_a_root_coord_with_malformed_roles_does_not_start(etcd):
    code, log = await start_with(
        etcd,
        VECGUARD__BUILTINROLES__ENABLE="true",
        VECGUARD__BUILTINROLES__ROLES='{"r": {"privileges": [{"object_type": "Table"}]}}',
    )
    assert code == 2
    assert "builtinRoles.roles" in log
    assert "elected" not in log


# --- from memory, and many --------------------------------------------------------------


async def test_unchanged_roles_are_answered_without_a_read(harness, caller, monkeypatch):
    await caller.create("reader")
    granted = await caller.grant("reader", SEARCH)
    first = await caller.roles("reader")
    monkeypatch.setattr(harness.active_term.role_store, "get_roles", None)
    await harness.create("eve", FIRST)
    await caller.give("eve", "reader")
    assert await caller.roles("reader") == first
    assert first.read_revision == granted.revision


async def test_the_notice_of_a_change_by_another_program_makes_proxies_read_its_result(
    harness, caller
):
    await caller.create("reader")
    await caller.grant("reader", SEARCH)
    grantee = Grantee("reader", "Collection", "default", "books")
    key = harness.keys.grants_of(grantee.id).encode() + b"PrivilegeSearch"
    async with SessionEnd(harness) as session:
        await session.open_with_lease()
        for change, grants in [(Delete(key), []), (Put(key, b"root"), [SEARCH])] * 5:
            before = await caller.roles("reader")
            assert before.roles[0].grants != grants
            written = await harness.client.txn([], [change])
            notice = await session.receive()
            assert notice.policy_revision == written.revision > before.read_revision
            after = await caller.roles("reader")
            assert after.roles[0].grants == grants
            assert after.read_revision >= notice.policy_revision
            await session.acknowledge(notice.sequence)


async def test_sessions_live_while_very_many_grants_are_restored_and_read(harness, caller, request):
    grants = [
        pb.Grant("Collection", "default", f"books{number:05}", "PrivilegeSearch", "root")
        for number in range(5000)
    ]
    backup = pb.RoleBackup(roles=[pb.Role(name="reader", grants=grants)])
    # Encoded before, because betterproto would hold this test's event loop.
    restoring = RawMessage(bytes(pb.RestoreRolesRequest(backup=backup, actor=ANYBODY)))
    seconds = []

    async def renew(session):
        while True:
            began = boot_clock()
            reply = await session.renew()
            if isinstance(reply, pb.Invalidate):
                await session.acknowledge(reply.sequence)
                reply = await session.receive()
            assert isinstance(reply, pb.Renewed)
            seconds.append(boot_clock() - began)
            await asyncio.sleep(0.02)

    # Root coord runs in this process, and a collection of all that other tests left in memory would
    # hold its event loop.
    gc.collect()
    gc.freeze()
    request.addfinalizer(gc.unfreeze)
    async with SessionEnd(harness) as session:
        await session.open_with_lease()
        renewing = asyncio.create_task(renew(session))
        began = boot_clock()
        restored = await raw(harness, "RestoreRoles", restoring)
        assert pb.MutationReply().parse(restored).outcome is Outcome.APPLIED
        asked = RawMessage(bytes(pb.GetRolesRequest(names=["reader"])))
        read = await raw(harness, "GetRoles", asked)
        saved = await raw(harness, "BackUpRoles", RawMessage())
        took = boot_clock() - began
        renewing.cancel()
        await asyncio.wait([renewing])
        assert renewing.cancelled()
    assert len(seconds) > 10
    # No renewal waits for one of the three calls to end, however slow the machine is.
    assert max(seconds) < took / 3
    (role,) = pb.GetRolesReply().parse(read).roles
    assert role.grants == grants
    assert pb.BackUpRolesReply().parse(saved).backup.roles == [role]


async def raw(harness, method, request):
    path = f"/vecguard.internal.v1.RootCoord/{method}"
    return await UnaryUnaryMethod(harness.channel, path, RawMessage, RawMessage)(request)
