"""The RPCs about roles over a real connection, as the relay calls them.

Root coord is a fake here (`MemoryRoles`); the real one is tested end to end with pymilvus.
"""

import json

import pytest
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError

from tests.support.account_service import running_account_service
from vecguard.generated.milvus.proto import common
from vecguard.generated.milvus.proto import milvus as pb
from vecguard.generated.vecguard.internal import v1 as internal
from vecguard.grpc.raw_message import RawMessage
from vecguard.proxy.accounts.methods import ROLE_METHODS, SERVED
from vecguard.proxy.accounts.records import Grant
from vecguard.proxy.audit.audit_log import AuditLog
from vecguard.proxy.audit.event_aggregation import EventAggregator
from vecguard.proxy.principal import Principal

Outcome = internal.MutationOutcome
GRANT, REVOKE = pb.OperatePrivilegeType.Grant, pb.OperatePrivilegeType.Revoke
ADD, REMOVE = pb.OperateUserRoleType.AddUserToRole, pb.OperateUserRoleType.RemoveUserFromRole
CHANGES = {
    *(b"CreateRole", b"AlterRole", b"DropRole", b"OperateUserRole", b"OperatePrivilege"),
    *(b"OperatePrivilegeV2", b"CreatePrivilegeGroup", b"DropPrivilegeGroup"),
    *(b"OperatePrivilegeGroup", b"RestoreRBAC"),
}
COMMON = "failed to operate privilege common check: "
IP = ": invalid parameter"


class Lines:
    """Keeps the lines of an audit log."""

    written = dropped = 0

    def __init__(self):
        self.entries = []

    def write(self, line):
        self.entries.append(json.loads(line))

    def close(self):
        pass


class RoleHarness:
    def __init__(self, directory, channel, lines):
        self.directory = directory
        self.roles = directory.roles
        self.channel = channel
        self.lines = lines

    def as_(self, username, **metadata):
        if username is not None:
            metadata |= {"x-vecguard-user": username, "x-vecguard-revision": "7"}
        return pb.MilvusServiceStub(self.channel, timeout=10, metadata=metadata)

    @property
    def root(self):
        return self.as_("root")

    async def create_role(self, name, description=""):
        entity = pb.RoleEntity(name=name, description=description)
        return await self.root.create_role(pb.CreateRoleRequest(entity=entity))

    async def drop_role(self, name, *, force=False):
        return await self.root.drop_role(pb.DropRoleRequest(role_name=name, force_drop=force))

    async def operate_user_role(self, username, role, kind=ADD):
        return await self.root.operate_user_role(
            pb.OperateUserRoleRequest(username=username, role_name=role, type=kind)
        )

    async def v1(self, role, kind, name, privilege, *, database="", do=GRANT, caller=None):
        return await (caller or self.root).operate_privilege(
            pb.OperatePrivilegeRequest(
                entity=entity(role, kind, name, privilege, database), type=do
            )
        )

    async def v2(self, role, privilege, database="default", collection="*", *, do=GRANT):
        return await self.root.operate_privilege_v2(
            pb.OperatePrivilegeV2Request(
                role=pb.RoleEntity(name=role),
                grantor=pb.GrantorEntity(privilege=pb.PrivilegeEntity(name=privilege)),
                type=do,
                db_name=database,
                collection_name=collection,
            )
        )

    async def select(self, role, kind=None, name="", *, database="", **metadata):
        """Returns (object type, database, object, privilege, grantor) of each grant."""
        reply = await self.as_("root", **metadata).select_grant(
            pb.SelectGrantRequest(
                entity=pb.GrantEntity(
                    role=pb.RoleEntity(name=role),
                    object=None if kind is None else pb.ObjectEntity(name=kind),
                    object_name=name,
                    db_name=database,
                )
            )
        )
        assert_success(reply.status)
        return [
            (each.object.name, each.db_name, each.object_name, each.grantor.privilege.name,
             each.grantor.user.name)
            for each in reply.entities
        ]  # fmt: skip

    async def create_group(self, name):
        return await self.root.create_privilege_group(
            pb.CreatePrivilegeGroupRequest(group_name=name)
        )

    async def drop_group(self, name):
        return await self.root.drop_privilege_group(pb.DropPrivilegeGroupRequest(group_name=name))

    async def change_group(self, name, *privileges, kind=0):
        return await self.root.operate_privilege_group(
            pb.OperatePrivilegeGroupRequest(
                group_name=name,
                privileges=[pb.PrivilegeEntity(name=each) for each in privileges],
                type=kind,
            )
        )


@pytest.fixture
async def harness():
    lines = Lines()
    aggregators = [EventAggregator(window_seconds=60.0, max_groups=9) for _ in range(3)]
    audit = AuditLog(lines, *aggregators, service="proxy")
    async with running_account_service("root", "bob", audit=audit) as (directory, channel):
        yield RoleHarness(directory, channel, lines)


@pytest.fixture
async def reader(harness):
    """A harness with the role reader."""
    assert_success(await harness.create_role("reader"))
    return harness


def entity(role, kind, name, privilege, database=""):
    return pb.GrantEntity(
        role=pb.RoleEntity(name=role),
        object=pb.ObjectEntity(name=kind),
        object_name=name,
        grantor=pb.GrantorEntity(privilege=pb.PrivilegeEntity(name=privilege)),
        db_name=database,
    )


def assert_success(status):
    assert status == common.Status()


def said(status):
    """Returns code, legacy code and text; checks what follows from them."""
    assert status.extra_info == ({"is_input_error": "true"} if status.code == 1100 else {})
    assert status.detail in ("", status.reason)
    assert not status.retriable
    return status.code, int(status.error_code), status.reason


# --- every method -----------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(SERVED))
async def test_a_call_without_a_user_is_refused_where_authorization_is_on(harness, path):
    """Without this check the caller would count as anonymous, and change everything."""
    with pytest.raises(GRPCError) as refusal:
        await answer_to(harness.channel, path, {})
    assert refusal.value.status is Status.PERMISSION_DENIED
    assert refusal.value.message.startswith("the account service is reached")


@pytest.mark.parametrize("path", sorted(SERVED))
async def test_every_method_answers_a_message_to_an_empty_request(harness, path):
    """The Node SDK takes the gRPC status UNIMPLEMENTED for success."""
    metadata = {"x-vecguard-user": "root"}
    assert await answer_to(harness.channel, path, metadata) is not None


async def answer_to(channel, path, metadata):
    async with channel.request(
        path.decode(), Cardinality.UNARY_UNARY, RawMessage, RawMessage, metadata=metadata
    ) as stream:
        await stream.send_message(RawMessage(), end=True)
        return await stream.recv_message()


BAD_NAMES = [
    ("", "role name should be not empty: invalid parameter[expected=not empty][actual=]"),
    (
        "r" * 256,
        (
            "the length of role name must be not greater than limit: invalid parameter"
            "[256 out of range 0 <= value <= 255]"
        ),
    ),
    (
        "1role",
        (
            "the first character of role name must be an underscore or letter: invalid parameter"
            "[expected=95][actual=49]"
        ),
    ),
    (
        "bad-role",
        (
            "role name can only contain numbers, letters, underscores, and allowed characters ($), "
            "found - at 3: invalid parameter"
        ),
    ),
]


@pytest.mark.parametrize(("name", "text"), BAD_NAMES)
async def test_a_bad_role_name_is_refused_by_every_method(harness, name, text):
    selected = await harness.root.select_role(pb.SelectRoleRequest(role=pb.RoleEntity(name=name)))
    altered = await harness.root.alter_role(pb.AlterRoleRequest(role_name=name))
    for status in (
        await harness.create_role(name),
        await harness.drop_role(name),
        await harness.operate_user_role("bob", name),
        await harness.v1(name, "Global", "*", "CreateCollection"),
        await harness.v2(name, "Search"),
        selected.status,
        altered,
    ):
        assert said(status) == (1100, 5, text)
        assert status.detail == text
    assert harness.roles.changes == []


async def test_every_change_carries_the_caller(reader):
    reader.roles.changes.clear()
    await reader.create_role("writer")
    await reader.root.alter_role(pb.AlterRoleRequest(role_name="writer", description="x"))
    await reader.operate_user_role("bob", "writer")
    await reader.v1("writer", "Global", "*", "CreateCollection")
    await reader.v2("writer", "Search")
    await reader.create_group("group")
    await reader.change_group("group", "Search")
    await reader.drop_group("group")
    await reader.drop_role("writer", force=True)
    meta = pb.RbacMeta(roles=[pb.RoleEntity(name="new")])
    await reader.root.restore_rbac(pb.RestoreRbacMetaRequest(rbac_meta=meta))
    assert len(reader.roles.changes) == 10
    assert {caller for _, caller in reader.roles.changes} == {Principal("root", 7)}


@pytest.mark.parametrize(
    ("refused", "status", "recorded"),
    [
        (Outcome.ACTOR_REVOKED, Status.UNAUTHENTICATED, "revoked"),
        # Clients repeat such a call, which is then decided by the newest roles.
        (Outcome.ACTOR_RIGHTS_CHANGED, Status.UNAVAILABLE, "permission_changed"),
    ],
)
async def test_a_caller_whom_root_coord_refuses_is_refused_as_by_the_relay(
    reader, refused, status, recorded
):
    reader.roles.refuses = (refused, "")
    root = reader.root
    meta = pb.RbacMeta(roles=[pb.RoleEntity(name="new")])
    for call in (
        reader.create_role("writer"),
        root.alter_role(pb.AlterRoleRequest(role_name="reader")),
        reader.drop_role("reader"),
        reader.operate_user_role("bob", "reader"),
        reader.v1("reader", "Global", "*", "CreateCollection"),
        reader.v2("reader", "Search"),
        reader.create_group("group"),
        reader.drop_group("group"),
        reader.change_group("group", "Search"),
        root.restore_rbac(pb.RestoreRbacMetaRequest(rbac_meta=meta)),
    ):
        with pytest.raises(GRPCError) as refusal:
            await call
        assert refusal.value.status is status
    assert {entry["outcome"] for entry in reader.lines.entries[1:]} == {recorded}


async def test_an_outcome_that_cannot_be_is_no_success(reader):
    reader.roles.refuses = (Outcome.REVISION_CHANGED, "")
    assert said(await reader.v2("reader", "Search")) == (
        65535,
        1,
        "root coord answered unexpectedly: REVISION_CHANGED",
    )


async def test_root_coord_may_say_what_is_wrong(reader):
    reader.roles.refuses = (Outcome.INVALID, "the name is too long")
    assert said(await reader.v2("reader", "Search")) == (1100, 41, f"the name is too long{IP}")


# --- roles ------------------------------------------------------------------------------


async def test_a_role_lives(harness):
    assert_success(await harness.create_role("reader", "reads"))
    reply = await harness.root.select_role(pb.SelectRoleRequest())
    assert [(each.role.name, each.role.description) for each in reply.results] == [
        ("admin", ""),
        ("public", ""),
        ("reader", "reads"),
    ]
    altered = pb.AlterRoleRequest(role_name="reader", description="reads all")
    assert_success(await harness.root.alter_role(altered))
    wanted = pb.SelectRoleRequest(role=pb.RoleEntity(name="reader"))
    (found,) = (await harness.root.select_role(wanted)).results
    assert found.role.description == "reads all"
    assert_success(await harness.drop_role("reader"))
    reply = await harness.root.select_role(wanted)
    assert (reply.status, reply.results) == (common.Status(), [])


async def test_a_role_that_exists_is_printed(reader):
    assert said(await reader.create_role("reader")) == (
        1100,
        35,
        f'role [name:"reader"] already exists{IP}',
    )
    assert said(await reader.create_role("reader", "x"))[2] == (
        f'role [name:"reader" description:"x"] already exists{IP}'
    )


async def test_one_role_too_many_is_refused(harness):
    for number in range(8):
        assert_success(await harness.create_role(f"role{number}"))
    assert said(await harness.create_role("more")) == (
        9,
        35,
        "unable to create role because the number of roles has reached the limit",
    )


async def test_a_description_counts_in_bytes(reader):
    text = (
        "the length of role description must be not greater than limit: invalid parameter"
        "[1026 out of range 0 <= value <= 1024]"
    )
    long = "é" * 513
    altered = pb.AlterRoleRequest(role_name="reader", description=long)
    for status in (await reader.create_role("new", long), await reader.root.alter_role(altered)):
        assert said(status) == (1100, 5, text)
    assert_success(await reader.create_role("new", "é" * 512))


@pytest.mark.parametrize("role", ["admin", "public"])
async def test_the_default_roles_are_protected(harness, role):
    assert said(await harness.drop_role(role, force=True)) == (
        1401,
        1,
        f"the role[{role}] is a default role, which can't be dropped: privilege not permitted",
    )
    assert said(await harness.root.alter_role(pb.AlterRoleRequest(role_name=role))) == (
        1401,
        1,
        f"the role[{role}] is a builtin role, which can't be altered: privilege not permitted",
    )
    assert harness.roles.changes == []


async def test_a_configured_role_is_protected(harness):
    harness.roles.refuses = (Outcome.ROLE_IS_BUILT_IN, "")
    assert said(await harness.drop_role("r"))[2].startswith(
        "the role[r] is a builtin role, which can't be dropped"
    )
    assert said(await harness.root.alter_role(pb.AlterRoleRequest(role_name="r")))[0] == 1401


UNKNOWN = f"not found the role, maybe the role isn't existed or internal system error{IP}"


async def test_an_unknown_role_is_refused(harness):
    assert said(await harness.drop_role("nothing")) == (1100, 36, UNKNOWN)
    assert said(await harness.operate_user_role("bob", "nothing")) == (1100, 37, UNKNOWN)
    assert said(await harness.operate_user_role("bob", "nothing", REMOVE)) == (1100, 37, UNKNOWN)
    altered = await harness.root.alter_role(pb.AlterRoleRequest(role_name="nothing"))
    assert said(altered) == (65535, 1, "role not exists")


async def test_a_role_with_grants_is_dropped_by_force_only(reader):
    await reader.v2("reader", "Search", "books", "*")
    await reader.v2("reader", "Query", "*", "*")
    assert said(await reader.drop_role("reader")) == (
        1100,
        36,
        (
            "fail to drop the role that it has privileges. Use REVOKE API to revoke privileges; "
            f"it has privileges in the databases [* books]{IP}"
        ),
    )
    assert_success(await reader.drop_role("reader", force=True))
    assert "reader" not in reader.roles.roles


# --- the roles of users -----------------------------------------------------------------


async def users_of(harness, role):
    request = pb.SelectRoleRequest(role=pb.RoleEntity(name=role), include_user_info=True)
    (result,) = (await harness.root.select_role(request)).results
    return [user.name for user in result.users]


async def roles_of(harness, username, *, include=True):
    request = pb.SelectUserRequest(user=pb.UserEntity(name=username), include_role_info=include)
    (result,) = (await harness.root.select_user(request)).results
    return [role.name for role in result.roles]


async def test_a_user_gets_and_loses_a_role(reader):
    assert_success(await reader.operate_user_role(" bob ", "reader"))
    assert_success(await reader.operate_user_role("bob", "reader"))
    assert_success(await reader.operate_user_role("bob", "admin"))
    assert await users_of(reader, "reader") == ["bob"]
    assert await roles_of(reader, "bob") == ["admin", "reader"]
    assert_success(await reader.operate_user_role("bob", "admin", REMOVE))
    assert_success(await reader.operate_user_role("bob", "admin", REMOVE))
    assert await roles_of(reader, "bob") == ["reader"]


async def test_roles_and_users_are_shown_only_if_asked_for(reader):
    await reader.operate_user_role("bob", "reader")
    assert await roles_of(reader, "bob", include=False) == []
    reply = await reader.root.select_role(pb.SelectRoleRequest())
    assert [result.users for result in reply.results] == [[], [], []]


async def test_an_unknown_user_is_an_error_only_when_the_role_is_given(reader):
    assert said(await reader.operate_user_role("ghost", "reader")) == (
        1100,
        37,
        f'user "ghost" not found{IP}',
    )
    assert_success(await reader.operate_user_role("ghost", "reader", REMOVE))


async def test_a_user_name_is_checked_before_the_role_name(reader):
    assert said(await reader.operate_user_role("1user", "1role")) == (
        1100,
        5,
        f"invalid user name 1user, the first character must be a letter, but got 1{IP}",
    )


async def test_a_user_that_was_stored_under_other_rules_gets_a_role(reader):
    await reader.directory.add("1.old-user", "first1")
    assert_success(await reader.operate_user_role("1.old-user", "reader"))
    assert await users_of(reader, "reader") == ["1.old-user"]


async def test_an_unknown_type_is_refused(reader):
    raw = bytes(pb.OperateUserRoleRequest(username="bob", role_name="reader")) + b"\x20\x07"
    status = await raw_answer(reader, "OperateUserRole", raw)
    assert said(status) == (65535, 1, "invalid operate user role type")
    raw = bytes(pb.OperatePrivilegeGroupRequest(group_name="g")) + b"\x20\x07"
    status = await raw_answer(reader, "OperatePrivilegeGroup", raw)
    assert said(status) == (65535, 1, "invalid operate privilege group type")
    raw = bytes(pb.OperatePrivilegeRequest(entity=entity("reader", "Global", "*", "All")))
    status = await raw_answer(reader, "OperatePrivilege", raw + b"\x18\x07")
    assert said(status)[:2] == (1100, 41)
    assert said(status)[2].startswith(f"{COMMON}invalid operate privilege type")


async def raw_answer(harness, method, request):
    async with harness.channel.request(
        f"/milvus.proto.milvus.MilvusService/{method}",
        Cardinality.UNARY_UNARY,
        RawMessage,
        common.Status,
        metadata={"x-vecguard-user": "root"},
    ) as stream:
        await stream.send_message(RawMessage(request), end=True)
        return await stream.recv_message()


# --- grants, first API ------------------------------------------------------------------


async def test_a_grant_is_stored_as_milvus_stores_it(reader):
    assert_success(await reader.v1("reader", "Collection", "books", "Search"))
    assert_success(await reader.v1("reader", "Global", "books", "CreateCollection"))
    assert_success(await reader.v1("reader", "Global", "books", "Admin"))
    assert_success(await reader.v1("reader", "User", "bob", "UpdateUser"))
    assert_success(await reader.v1("reader", "Collection", "*", "*"))
    assert reader.roles.roles["reader"].grants == [
        Grant("Collection", "default", "books", "PrivilegeSearch", "root"),
        Grant("Global", "default", "*", "PrivilegeCreateCollection", "root"),
        Grant("Global", "default", "books", "PrivilegeGroupAdmin", "root"),
        Grant("User", "default", "bob", "PrivilegeUpdateUser", "root"),
        Grant("Collection", "default", "*", "*", "root"),
    ]


async def test_the_database_is_that_of_the_body_then_of_the_metadata(reader):
    caller = reader.as_("bob", dbname="meta")
    await reader.v1("reader", "Collection", "a", "Query", caller=caller)
    await reader.v1("reader", "Collection", "b", "Query", database="body", caller=caller)
    assert [(grant.database, grant.grantor) for grant in reader.roles.roles["reader"].grants] == [
        ("meta", "bob"),
        ("body", "bob"),
    ]


@pytest.mark.parametrize(
    ("privilege", "stored"),
    [
        ("Load", {"PrivilegeLoad", "PrivilegeGetLoadState", "PrivilegeGetLoadingProgress"}),
        ("Flush", {"PrivilegeFlush", "PrivilegeGetFlushState"}),
        ("Search", {"PrivilegeSearch"}),
    ],
)
async def test_related_privileges_are_granted_and_revoked_in_one_change(reader, privilege, stored):
    for do, kept in ((GRANT, stored), (REVOKE, set())):
        reader.roles.changes.clear()
        assert_success(await reader.v1("reader", "Collection", "books", privilege, do=do))
        assert {grant.privilege for grant in reader.roles.roles["reader"].grants} == kept
        assert_success(await reader.v2("reader", privilege, "default", "books", do=do))
        assert {grant.privilege for grant in reader.roles.roles["reader"].grants} == kept
        assert len(reader.roles.changes) == 2


async def test_granting_again_and_revoking_nothing_succeed(reader):
    for _ in range(2):
        assert_success(await reader.v1("reader", "Collection", "books", "Search"))
    for _ in range(2):
        assert_success(await reader.v1("reader", "Collection", "books", "Search", do=REVOKE))
    assert reader.roles.roles["reader"].grants == []


PARTS = [
    (pb.OperatePrivilegeRequest(), "the entity in the request is nil"),
    (
        pb.OperatePrivilegeRequest(entity=pb.GrantEntity(object_name="x")),
        "the grantor entity in the grant entity is nil",
    ),
    (
        pb.OperatePrivilegeRequest(
            entity=pb.GrantEntity(grantor=pb.GrantorEntity(user=pb.UserEntity(name="x")))
        ),
        "the privilege entity in the grantor entity is nil",
    ),
    (
        pb.OperatePrivilegeRequest(
            entity=pb.GrantEntity(
                grantor=pb.GrantorEntity(privilege=pb.PrivilegeEntity(name="Search"))
            )
        ),
        "the resource entity in the grant entity is nil",
    ),
    (
        pb.OperatePrivilegeRequest(
            entity=pb.GrantEntity(
                object=pb.ObjectEntity(name="Collection"),
                object_name="books",
                grantor=pb.GrantorEntity(privilege=pb.PrivilegeEntity(name="Search")),
            )
        ),
        "the object entity in the grant entity is nil",
    ),
]


@pytest.mark.parametrize(("request_", "text"), PARTS)
async def test_a_missing_part_is_named(reader, request_, text):
    assert said(await reader.root.operate_privilege(request_)) == (65535, 1, text)


@pytest.mark.parametrize(
    ("kind", "name", "privilege", "what"),
    [
        ("", "books", "Search", "ObjectType"),
        ("Collection", "", "Search", "object name"),
        ("Collection", "books", "", "Privilege"),
    ],
)
async def test_an_empty_name_is_refused(reader, kind, name, privilege, what):
    # An empty message is sent only if one of its fields is set, here to nothing.
    request = pb.OperatePrivilegeRequest(entity=entity("reader", kind, name, privilege))
    assert said(await reader.root.operate_privilege(request)) == (
        1100,
        5,
        f"{what} should be not empty: invalid parameter[expected=not empty][actual=]",
    )


@pytest.mark.parametrize("name", ["a.b", "a/b", "a*", "[a]", "é"])
async def test_no_grant_is_on_an_object_or_database_whose_name_would_break_a_key(reader, name):
    for status in (
        await reader.v1("reader", "Collection", name, "Search"),
        await reader.v2("reader", "Search", "default", name),
    ):
        assert said(status)[:2] == (1100, 5)
    for status in (
        await reader.v1("reader", "Collection", "books", "Search", database=name),
        await reader.v2("reader", "Search", name, "books"),
    ):
        assert said(status)[:2] == (802, 1)
        assert f"invalid database name[database={name}]" in status.reason
    assert reader.roles.roles["reader"].grants == []


async def test_an_unknown_privilege_or_type_is_refused_in_the_first_api(reader):
    await reader.create_group("readers")
    for kind, privilege, text in (
        ("Collection", "Nothing", "not found the privilege name[Nothing] in object[Collection]"),
        ("Global", "Search", "not found the privilege name[Search] in object[Global]"),
        ("Collection", "All", "not found the privilege name[All] in object[Collection]"),
        ("Global", "readers", "can not operate the custom privilege group [readers]"),
        (
            "Global",
            "ClusterAdmin",
            "can not operate the built-in privilege group [ClusterAdmin]",
        ),
        ("Nothing", "Search", f"{COMMON}the object entity in the request is nil or invalid"),
    ):
        status = await reader.v1("reader", kind, "*", privilege)
        assert said(status) == (1100, 41, text + IP)
        assert status.detail == ""
    assert reader.roles.roles["reader"].grants == []


async def test_an_unknown_role_comes_before_an_unknown_privilege(harness):
    text = f'{COMMON}the role "nothing" does not exist{IP}'
    for status in (
        await harness.v1("nothing", "Collection", "*", "Search"),
        await harness.v1("nothing", "Collection", "*", "Unknown"),
        await harness.v1("nothing", "Global", "*", "ClusterAdmin"),
        await harness.v2("nothing", "Search"),
        await harness.v2("nothing", "Unknown"),
        await harness.v2("nothing", "ClusterAdmin", "default", "books"),
    ):
        assert said(status) == (1100, 41, text)


async def test_an_unknown_grantor_is_named(reader):
    reader.roles.refuses = (Outcome.GRANTOR_NOT_FOUND, "")
    assert said(await reader.v2("reader", "Search")) == (
        1100,
        41,
        f'{COMMON}the grantor user "root" does not exist{IP}',
    )


# --- grants, second API -----------------------------------------------------------------


async def test_the_privilege_decides_the_type_of_the_object(reader):
    await reader.create_group("readers")
    await reader.change_group("readers", "Search")
    for privilege, database, collection in (
        ("Search", "", "books"),
        ("CreateCollection", "db1", "*"),
        ("SelectUser", "*", "*"),
        ("ReadOnly", "db1", "books"),
        ("CollectionReadOnly", "db1", "books"),
        ("readers", "db1", "books"),
        ("*", "*", "*"),
    ):
        assert_success(await reader.v2("reader", privilege, database, collection))
    assert reader.roles.roles["reader"].grants == [
        Grant("Collection", "default", "books", "PrivilegeSearch", "root"),
        Grant("Global", "db1", "*", "PrivilegeCreateCollection", "root"),
        Grant("User", "*", "*", "PrivilegeSelectUser", "root"),
        Grant("Collection", "db1", "books", "PrivilegeGroupReadOnly", "root"),
        Grant("Global", "db1", "books", "PrivilegeGroupCollectionReadOnly", "root"),
        Grant("Global", "db1", "books", "PrivilegeGroupreaders", "root"),
        Grant("Global", "*", "*", "*", "root"),
    ]


async def test_a_grant_of_one_api_is_revoked_by_the_other(reader):
    await reader.v1("reader", "Collection", "books", "Search")
    assert_success(await reader.v2("reader", "Search", "default", "books", do=REVOKE))
    assert reader.roles.roles["reader"].grants == []


async def test_the_first_method_with_the_second_version_is_the_second_api(reader):
    request = pb.OperatePrivilegeRequest(
        entity=entity("reader", "Global", "books", "CollectionReadOnly", "db1"), version="v2"
    )
    assert_success(await reader.root.operate_privilege(request))
    assert reader.roles.roles["reader"].grants == [
        Grant("Global", "db1", "books", "PrivilegeGroupCollectionReadOnly", "root")
    ]


@pytest.mark.parametrize(
    ("privilege", "database", "collection", "text"),
    [
        (
            "ClusterReadOnly",
            "default",
            "*",
            (
                "dbName and collectionName should be * for the cluster level privilege: "
                "ClusterReadOnly"
            ),
        ),
        (
            "ClusterReadOnly",
            "*",
            "books",
            (
                "dbName and collectionName should be * for the cluster level privilege: "
                "ClusterReadOnly"
            ),
        ),
        (
            "DatabaseAdmin",
            "default",
            "books",
            "collectionName should be * for the database level privilege: DatabaseAdmin",
        ),
        (
            "CollectionAdmin",
            "*",
            "books",
            "please specify database name for the collection level privilege: CollectionAdmin",
        ),
        (
            "outer",
            "*",
            "books",
            "please specify database name for the collection level privilege: outer",
        ),
        ("Nothing", "default", "*", "not found the privilege name[Nothing]"),
    ],
)
async def test_the_scope_of_a_group_is_checked(reader, privilege, database, collection, text):
    reader.roles.groups |= {"outer": ("inner",), "inner": ("Search",)}
    status = await reader.v2("reader", privilege, database, collection)
    assert said(status) == (1100, 41, text + IP)
    assert reader.roles.roles["reader"].grants == []


@pytest.mark.parametrize(
    ("privilege", "database", "collection"),
    [
        ("ClusterReadOnly", "*", "*"),
        ("DatabaseAdmin", "*", "*"),
        ("DatabaseAdmin", "db1", "*"),
        ("CollectionAdmin", "*", "*"),
        ("CollectionAdmin", "db1", "books"),
        ("empty", "*", "books"),
        # Single privileges are not checked, as in Milvus.
        ("Search", "*", "books"),
        ("ListDatabases", "db1", "*"),
    ],
)
async def test_a_scope_that_fits_is_granted(reader, privilege, database, collection):
    reader.roles.groups["empty"] = ()
    assert_success(await reader.v2("reader", privilege, database, collection))
    assert len(reader.roles.roles["reader"].grants) == 1


async def test_a_group_that_was_dropped_meanwhile_is_named(reader):
    await reader.create_group("readers")
    reader.roles.refuses = (Outcome.PRIVILEGE_NOT_FOUND, "readers")
    assert said(await reader.v2("reader", "readers"))[2] == (
        f"not found the privilege name[readers]{IP}"
    )


# --- listing grants ---------------------------------------------------------------------


SEARCH = ("Collection", "default", "books", "Search", "root")
QUERY = ("Collection", "db1", "books", "Query", "root")
INSERT = ("Collection", "*", "books", "Insert", "root")
GROUP = ("Global", "db1", "*", "DatabaseAdmin", "root")


@pytest.fixture
async def listed(reader):
    await reader.v2("reader", "Search", "default", "books")
    await reader.v2("reader", "Query", "db1", "books")
    await reader.v2("reader", "Insert", "*", "books")
    await reader.v2("reader", "DatabaseAdmin", "db1", "*")
    return reader


async def test_the_grants_of_a_database_include_those_on_every_database(listed):
    assert await listed.select("reader") == [SEARCH, INSERT]
    assert await listed.select("reader", database="db1") == [QUERY, INSERT, GROUP]
    assert await listed.select("reader", dbname="db1") == [QUERY, INSERT, GROUP]
    assert await listed.select("reader", database="*") == [SEARCH, QUERY, INSERT, GROUP]
    assert await listed.select("reader", database="db2") == [INSERT]


async def test_the_grants_on_one_object_are_listed(listed):
    assert await listed.select("reader", "Collection", "books") == [SEARCH, INSERT]
    assert await listed.select("reader", "Collection", "books", database="db1") == [QUERY, INSERT]
    assert await listed.select("reader", "Global", "*", database="db1") == [GROUP]
    assert await listed.select("reader", "Collection", "books", database="*") == [INSERT]
    assert await listed.select("reader", "Collection", "others") == []


async def test_each_grant_names_its_role(listed):
    entity_ = pb.GrantEntity(role=pb.RoleEntity(name="reader"))
    reply = await listed.root.select_grant(pb.SelectGrantRequest(entity=entity_))
    assert {each.role.name for each in reply.entities} == {"reader"}


async def refused_selection(harness, entity_):
    reply = await harness.root.select_grant(pb.SelectGrantRequest(entity=entity_))
    assert reply.entities == []
    return said(reply.status)


async def test_a_selection_that_is_incomplete_or_of_nothing_known_is_refused(reader):
    reader_ = pb.RoleEntity(name="reader")
    for entity_, answer in (
        (None, (1100, 5, f"the grant entity in the request is nil{IP}")),
        (
            pb.GrantEntity(object_name="x"),
            (1100, 5, f"the role entity in the grant entity is nil{IP}"),
        ),
        (pb.GrantEntity(role=pb.RoleEntity(name="1")), (1100, 5, BAD_NAMES[2][1])),
        (
            pb.GrantEntity(role=pb.RoleEntity(name="nothing")),
            (1100, 42, f'the role "nothing" does not exist{IP}'),
        ),
        (
            pb.GrantEntity(role=reader_, object=pb.ObjectEntity(name="X"), object_name="*"),
            (
                1100,
                42,
                (
                    "not found the object type[name: X], supported the object types: "
                    f"[Collection Global User]{IP}"
                ),
            ),
        ),
        (
            pb.GrantEntity(role=reader_, object=pb.ObjectEntity(name="Collection")),
            (
                1100,
                5,
                "object name should be not empty: invalid parameter[expected=not empty][actual=]",
            ),
        ),
    ):
        assert await refused_selection(reader, entity_) == answer


# --- privilege groups -------------------------------------------------------------------


async def listed_groups(harness):
    reply = await harness.root.list_privilege_groups(pb.ListPrivilegeGroupsRequest())
    assert_success(reply.status)
    return [
        (group.group_name, [each.name for each in group.privileges])
        for group in reply.privilege_groups
    ]


async def test_a_group_lives(harness):
    assert_success(await harness.create_group("readers"))
    assert_success(await harness.change_group("readers", "Search", "Query"))
    assert_success(await harness.change_group("readers", "Search"))
    groups = await listed_groups(harness)
    assert groups[0] == ("readers", ["Search", "Query"])
    assert [name for name, _ in groups[1:]] == [
        f"{level}{kind}"
        for level in ("Cluster", "Database", "Collection")
        for kind in ("ReadOnly", "ReadWrite", "Admin")
    ]
    assert_success(await harness.change_group("readers", "Search", kind=1))
    assert (await listed_groups(harness))[0] == ("readers", ["Query"])
    assert_success(await harness.drop_group("readers"))
    assert_success(await harness.drop_group("readers"))
    assert len(await listed_groups(harness)) == 9


@pytest.mark.parametrize(
    ("name", "code", "legacy", "text"),
    [
        (
            "",
            1402,
            1,
            "invalid privilege group name[privilegeGroup=privilege group name should not be empty]",
        ),
        (
            "1g",
            1402,
            1,
            (
                "invalid privilege group name[privilegeGroup=the first character of a privilege "
                "group name 1g must be an underscore or letter]"
            ),
        ),
        (
            "g" * 256,
            1402,
            1,
            (
                "invalid privilege group name[privilegeGroup=the length of a privilege group name "
                f"{'g' * 256} must be less than 255 characters]"
            ),
        ),
        (
            "g$",
            1100,
            5,
            f"privilege group name g$ can only contain numbers, letters and underscores{IP}",
        ),
    ],
)
async def test_a_bad_group_name_is_refused(harness, name, code, legacy, text):
    for status in (
        await harness.create_group(name),
        await harness.drop_group(name),
        await harness.change_group(name, "Search"),
    ):
        assert said(status) == (code, legacy, text)
    assert harness.roles.changes == []


async def test_a_group_that_exists_or_is_built_in_is_not_created(harness):
    await harness.create_group("readers")
    prefix = "failed to check if privilege group creatable: privilege group name "
    assert said(await harness.create_group("readers")) == (
        1100,
        58,
        f"{prefix}[readers] is defined by users{IP}",
    )
    for name in ("ClusterAdmin", "Search"):
        assert said(await harness.create_group(name)) == (
            1100,
            58,
            f"{prefix}[{name}] is defined by built in privileges or privilege groups in system{IP}",
        )


async def test_a_group_in_use_is_not_dropped(reader):
    await reader.create_group("readers")
    await reader.v2("reader", "readers", "default", "*")
    assert said(await reader.drop_group("readers")) == (
        1100,
        59,
        (
            "failed to check if privilege group dropable: privilege group [readers] is used by "
            f"role [reader], Use REVOKE API to revoke it first{IP}"
        ),
    )


async def test_a_change_of_a_group_is_checked(harness):
    await harness.create_group("readers")
    prefix = "failed to check if privilege group alterable: "
    unknown = f"{prefix}there is no privilege group name [nothing] defined in system to operate{IP}"
    assert said(await harness.change_group("nothing", "Search")) == (1100, 61, unknown)
    assert said(await harness.change_group("nothing")) == (1100, 61, unknown)
    assert said(await harness.change_group("readers")) == (
        1100,
        61,
        f"{prefix}privileges is empty when alter the privilege group{IP}",
    )
    assert said(await harness.change_group("readers", "Search", "Unknown")) == (
        1100,
        61,
        (
            f"{prefix}there is no privilege name or privilege group name [Unknown] defined in "
            f"system to operate{IP}"
        ),
    )
    assert said(await harness.change_group("readers", "Search", "ListDatabases")) == (
        1100,
        61,
        f"{prefix}privileges are not the same privilege level{IP}",
    )
    assert said(await harness.change_group("readers", ""))[:2] == (1100, 5)


async def test_nothing_is_changed_by_a_caller_without_a_name():
    """Authorization is off at this proxy, and the change would hold at all of them."""
    async with running_account_service("root", authorization=False) as (directory, channel):
        harness = RoleHarness(directory, channel, None)
        nobody = harness.as_(None)
        listed = await nobody.select_role(pb.SelectRoleRequest())
        assert [each.role.name for each in listed.results] == ["admin", "public"]
        for path in sorted(ROLE_METHODS):
            if path.rpartition(b"/")[2] in CHANGES:
                status = common.Status.FromString(await answer_to(channel, path, {}))
                assert (status.code, status.error_code) == (1401, 1)
                assert status.reason.startswith("users and roles cannot be changed through a proxy")
        assert directory.roles.changes == []


# --- the audit log ----------------------------------------------------------------------


async def test_every_change_of_roles_is_in_the_audit_log(reader):
    reader.lines.entries.clear()
    await reader.operate_user_role("bob", "reader")
    await reader.v1("reader", "Collection", "books", "Search", database="db1")
    await reader.v2("reader", "Search", "db1", "books", do=REVOKE)
    await reader.v2("reader", "Search", "db1", "books", do=REVOKE)
    await reader.create_group("readers")
    await reader.change_group("readers", "Search", "Query")
    await reader.create_role("reader")
    assert [
        [entry[name] for name in ("action", "target", "user", "privileges", "object_type",
                                  "object", "database", "outcome", "revision", "actor")]
        for entry in reader.lines.entries
    ] == [
        ["give_role", "reader", "bob", [], None, None, None, "applied", 102, "root"],
        ["grant", "reader", None, ["Search"], "Collection", "books", "db1", "applied", 103,
         "root"],
        ["revoke", "reader", None, ["Search"], None, "books", "db1", "applied", 104, "root"],
        ["revoke", "reader", None, ["Search"], None, "books", "db1", "unchanged", None, "root"],
        ["create_privilege_group", "readers", None, [], None, None, None, "applied", 105, "root"],
        ["add_to_privilege_group", "readers", None, ["Search", "Query"], None, None, None,
         "applied", 106, "root"],
        ["create_role", "reader", None, [], None, None, None, "role_exists", None, "root"],
    ]  # fmt: skip
