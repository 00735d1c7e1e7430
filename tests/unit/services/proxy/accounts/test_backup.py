"""Backups over a real connection. Root coord is a fake here (`MemoryRoles`)."""

import asyncio

import pytest

from tests.support.account_service import running_account_service
from tests.support.credentials import hashed
from vecguard.errors import MessageTooLargeError, TooManyFieldsError
from vecguard.generated.milvus.proto import common
from vecguard.generated.milvus.proto import milvus as pb
from vecguard.generated.vecguard.internal import v1 as internal
from vecguard.grpc.raw_message import encoded
from vecguard.passwords import PasswordHash, PasswordScheme
from vecguard.proxy.accounts import milvus_wire
from vecguard.proxy.accounts.records import Grant, SavedRole
from vecguard.secret import Secret

PREFIX = "failed to check if rbac restorable: "
IP = ": invalid parameter"
HASH = hashed("bob-first1").encrypted.reveal()


@pytest.fixture
async def harness():
    async with running_account_service("root") as (directory, channel):
        metadata = {"x-vecguard-user": "root", "x-vecguard-revision": "7"}
        yield Backups(directory, pb.MilvusServiceStub(channel, timeout=60, metadata=metadata))


class Backups:
    def __init__(self, directory, root):
        self.directory = directory
        self.roles = directory.roles
        self.root = root

    async def back_up(self):
        reply = await self.root.backup_rbac(pb.BackupRbacMetaRequest())
        assert reply.status == common.Status()
        return reply.rbac_meta

    async def restore(self, meta):
        return await self.root.restore_rbac(pb.RestoreRbacMetaRequest(rbac_meta=meta))


def role(name, description=""):
    return pb.RoleEntity(name=name, description=description)


def grant(role_name="reader", privilege="Search", *, kind="Collection", name="books", db="db1"):
    return pb.GrantEntity(
        role=role(role_name),
        object=pb.ObjectEntity(name=kind),
        object_name=name,
        grantor=pb.GrantorEntity(
            user=pb.UserEntity(name="root"), privilege=pb.PrivilegeEntity(name=privilege)
        ),
        db_name=db,
    )


def group(name, *privileges):
    return pb.PrivilegeGroupInfo(
        group_name=name, privileges=[pb.PrivilegeEntity(name=each) for each in privileges]
    )


def user(name, *roles, password=HASH):
    return pb.UserInfo(user=name, password=password, roles=[role(each) for each in roles])


def whole():
    return pb.RbacMeta(
        users=[user("bob", "reader", "admin"), user("eve")],
        roles=[role("reader", "reads"), role("writer")],
        grants=[
            grant(),
            grant(privilege="readers", kind="Global"),
            grant(privilege="CollectionAdmin", kind="Global"),
            grant(privilege="ReadOnly"),
            grant(privilege="*", kind="Global", name="*", db="*"),
        ],
        privilege_groups=[group("readers", "Search", "Query"), group("empty")],
    )


async def test_a_backup_is_restored_to_what_it_was(harness):
    assert await harness.restore(whole()) == common.Status()
    assert harness.roles.roles["reader"] == SavedRole(
        "reader",
        "reads",
        [
            Grant("Collection", "db1", "books", "PrivilegeSearch", "root"),
            Grant("Global", "db1", "books", "PrivilegeGroupreaders", "root"),
            Grant("Global", "db1", "books", "PrivilegeGroupCollectionAdmin", "root"),
            Grant("Collection", "db1", "books", "PrivilegeGroupReadOnly", "root"),
            Grant("Global", "*", "*", "*", "root"),
        ],
    )
    assert harness.roles.users_of["reader"] == {"bob"}
    assert harness.directory.store.users["eve"].password == PasswordHash(Secret(HASH))
    saved = await harness.back_up()
    expected = whole()
    expected.users[0].roles.reverse()
    expected.privilege_groups.reverse()
    saved.privilege_groups.sort(key=lambda each: each.group_name)
    assert saved == expected


async def test_a_long_password_survives_a_backup(harness):
    long = PasswordHash(Secret(HASH), PasswordScheme.BCRYPT_SHA256)
    harness.directory.store._put("bob", long, "")
    saved = await harness.back_up()
    assert [each.user for each in saved.users] == ["bob"]
    harness.directory.store.users.pop("bob")
    assert await harness.restore(saved) == common.Status()
    assert harness.directory.store.users["bob"].password == long


@pytest.mark.parametrize("request_", [b"", encoded(2, b"")])
async def test_an_empty_or_absent_backup_is_a_success(harness, request_):
    meta = await milvus_wire.read_restore_request(request_)
    assert meta == milvus_wire.RbacMeta()
    assert await harness.root.restore_rbac(pb.RestoreRbacMetaRequest()) == common.Status()
    assert harness.roles.changes == []


async def test_grants_of_admin_are_left_out_because_it_may_do_everything(harness):
    meta = pb.RbacMeta(roles=[role("reader")], grants=[grant("admin"), grant("reader")])
    assert await harness.restore(meta) == common.Status()
    assert harness.roles.roles["admin"].grants == []


async def test_what_milvus_leaves_out_gets_its_default(harness):
    plain = grant(db="")
    plain.grantor.user = pb.UserEntity()
    meta = pb.RbacMeta(roles=[role("reader")], grants=[plain])
    assert await harness.restore(meta) == common.Status()
    assert harness.roles.roles["reader"].grants == [
        Grant("Collection", "default", "books", "PrivilegeSearch", "root")
    ]


BAD_HASH = "the password of user [bob] is not a bcrypt hash of cost 4 to 16"


@pytest.mark.parametrize(
    ("meta", "complaint"),
    [
        (pb.RbacMeta(users=[user("bob", password="")]), BAD_HASH),
        (pb.RbacMeta(users=[user("bob", password="clear-text")]), BAD_HASH),
        (pb.RbacMeta(users=[user("bob", password=HASH.replace("$04$", "$31$"))]), BAD_HASH),
        (pb.RbacMeta(users=[user("b/b")]), "user [b/b]: the name is not valid for a user"),
        (pb.RbacMeta(users=[user("bob"), user("bob")]), "user [bob] already exists"),
        (pb.RbacMeta(users=[user("root")]), "user [root] already exists"),
        (pb.RbacMeta(users=[user("bob", "nothing")]), "role [nothing] does not exist"),
        (pb.RbacMeta(roles=[role("admin")]), "role [admin] already exists"),
        (pb.RbacMeta(roles=[role("r"), role("r")]), "role [r] already exists"),
        (pb.RbacMeta(privilege_groups=[group("g"), group("g")]),
         "privilege group [g] already exists"),
        (pb.RbacMeta(grants=[grant("nothing")]), "role [nothing] does not exist"),
        (pb.RbacMeta(grants=[grant("public")]), "role [public] does not exist"),
        (pb.RbacMeta(roles=[role("reader")], grants=[grant(privilege="Nothing")]),
         "privilege [Nothing] does not exist"),
        (pb.RbacMeta(roles=[role("reader")], grants=[grant(kind="Nothing")]),
         "object type [Nothing] does not exist"),
    ],
)  # fmt: skip
async def test_a_backup_that_cannot_be_restored_is_refused_whole(harness, meta, complaint):
    meta.roles.append(role("other"))
    status = await harness.restore(meta)
    assert (status.code, int(status.error_code), status.reason) == (
        1100,
        41,
        f"{PREFIX}{complaint}{IP}",
    )
    assert set(harness.roles.roles) == {"admin", "public"}
    assert set(harness.directory.store.users) == {"root"}


@pytest.mark.parametrize(
    "meta",
    [
        pb.RbacMeta(roles=[role("1role")]),
        pb.RbacMeta(roles=[role("r", "x" * 1025)]),
        pb.RbacMeta(users=[user("bob", "bad-role")]),
        pb.RbacMeta(privilege_groups=[group("g", "bad privilege")]),
        pb.RbacMeta(roles=[role("reader")], grants=[grant(name="a.b")]),
        pb.RbacMeta(roles=[role("reader")], grants=[grant(db="a/b")]),
        pb.RbacMeta(privilege_groups=[group("1g")]),
    ],
)
async def test_a_bad_name_is_refused_before_root_coord_is_asked(harness, meta):
    status = await harness.restore(meta)
    assert status.code in {1100, 1402, 802}
    assert harness.roles.changes == []


@pytest.mark.parametrize(
    ("outcome", "detail", "complaint"),
    [
        ("PRIVILEGE_NOT_FOUND", "Nothing", "privilege [Nothing] does not exist"),
        ("GROUP_EXISTS", "g", "privilege group [g] already exists"),
        ("USER_LIMIT_REACHED", "",
         "unable to add user because the number of users has reached the limit"),
        ("ROLE_LIMIT_REACHED", "",
         "unable to create role because the number of roles has reached the limit"),
    ],
)  # fmt: skip
async def test_what_root_coord_refuses_is_named(harness, outcome, detail, complaint):
    harness.roles.refuses = (internal.MutationOutcome[outcome], detail)
    status = await harness.restore(pb.RbacMeta(roles=[role("r")]))
    assert (status.code, status.reason) == (1100, f"{PREFIX}{complaint}{IP}")


async def test_no_refusal_shows_a_hash(harness):
    marker = "$2a$04$this-is-no-hash"
    status = await harness.restore(pb.RbacMeta(users=[user("bob", password=marker)]))
    assert status.code == 1100
    assert "this-is-no-hash" not in repr(status)
    meta = await milvus_wire.read_restore_request(
        bytes(pb.RestoreRbacMetaRequest(rbac_meta=whole()))
    )
    assert HASH not in repr(meta)


async def test_parts_of_a_backup_that_arrive_separately_belong_together(harness):
    """protobuf merges messages that occur twice; pymilvus sends none, other encoders may."""
    first, second = pb.RbacMeta(roles=[role("a")]), pb.RbacMeta(roles=[role("b")])
    request = encoded(2, bytes(first)) + encoded(2, bytes(second))
    meta = await milvus_wire.read_restore_request(request)
    assert meta.roles == [("a", ""), ("b", "")]


@pytest.mark.parametrize(
    ("part", "error"),
    [
        (encoded(1, encoded(1, "bob") + encoded(3, encoded(1, "r")) * 3000), TooManyFieldsError),
        (encoded(4, encoded(1, "G") + encoded(2, encoded(1, "P")) * 3000), TooManyFieldsError),
        (encoded(1, encoded(1, "bob") * 3000), TooManyFieldsError),
        (encoded(2, encoded(1, "r") * 30_000), MessageTooLargeError),
        (encoded(3, encoded(1, encoded(1, "r") * 30_000)), MessageTooLargeError),
    ],
)
async def test_one_part_of_a_backup_does_not_keep_others_waiting(part, error):
    with pytest.raises(error):
        await milvus_wire.read_restore_request(encoded(2, part))


MANY = 4_000


async def turns_during(work):
    """Returns the result of `work`, and how often another task had a turn meanwhile."""
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    try:
        return await work, turns
    finally:
        counting.cancel()


async def test_many_grants_are_listed_saved_read_and_restored_in_turns(harness):
    grants = [
        Grant("Collection", "default", f"books{number}", "PrivilegeSearch", "root")
        for number in range(MANY)
    ]
    saved = milvus_wire.Backup(roles=[SavedRole("reader", "", grants)])
    listed, of_listing = await turns_during(milvus_wire.grants_reply("reader", grants))
    reply, of_saving = await turns_during(milvus_wire.backup_reply(saved))
    request = pb.RestoreRbacMetaRequest(
        rbac_meta=pb.BackupRbacMetaResponse.FromString(reply).rbac_meta
    )
    meta, of_reading = await turns_during(milvus_wire.read_restore_request(bytes(request)))
    assert listed.count(b"books") == MANY
    assert meta.grants[-1] == ("reader", grants[-1]._replace(privilege="Search"))
    for turns in (of_listing, of_saving, of_reading):
        assert turns > MANY / 1000
    assert await harness.restore(request.rbac_meta) == common.Status()
    assert harness.roles.roles["reader"].grants == grants
