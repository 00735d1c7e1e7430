"""The client of the RPCs about roles, at a server that keeps them in memory."""

import grpclib
import pytest
from grpclib.const import Status
from grpclib.testing import ChannelFor

from vecguard.cli import group, role, user
from vecguard.cli.connection import Login
from vecguard.cli.exit_codes import NegativeError, NotAllowedError
from vecguard.cli.grant_scope import GrantScope
from vecguard.cli.public_calls import LoginRefusedError
from vecguard.cli.roles import Grant, Group, RoleClient
from vecguard.generated.milvus.proto import common
from vecguard.generated.milvus.proto import milvus as pb
from vecguard.secret import Secret

BOOKS = GrantScope("sales", "books")


def grant(privilege="Search", database="sales", name="books"):
    return pb.GrantEntity(
        role=pb.RoleEntity(name="reader"),
        object=pb.ObjectEntity(name="Collection"),
        object_name=name,
        grantor=pb.GrantorEntity(
            user=pb.UserEntity(name="root"), privilege=pb.PrivilegeEntity(name=privilege)
        ),
        db_name=database,
    )


class Milvus(pb.MilvusServiceBase):
    """Has one role with one grant; answers changes with one thing."""

    def __init__(self, answer=None, select_role=None):
        self.answer = answer or common.Status()
        self.role_reply = select_role
        self.requests = []

    async def _change(self, request):
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def create_role(self, create_role_request):
        return await self._change(create_role_request)

    async def alter_role(self, alter_role_request):
        return await self._change(alter_role_request)

    async def drop_role(self, drop_role_request):
        return await self._change(drop_role_request)

    async def operate_user_role(self, operate_user_role_request):
        return await self._change(operate_user_role_request)

    async def operate_privilege_v2(self, operate_privilege_v2_request):
        return await self._change(operate_privilege_v2_request)

    async def create_privilege_group(self, create_privilege_group_request):
        return await self._change(create_privilege_group_request)

    async def drop_privilege_group(self, drop_privilege_group_request):
        return await self._change(drop_privilege_group_request)

    async def operate_privilege_group(self, operate_privilege_group_request):
        return await self._change(operate_privilege_group_request)

    async def select_role(self, select_role_request):
        if isinstance(self.role_reply, Exception):
            raise self.role_reply
        users = [pb.UserEntity(name=name) for name in ("bob", "alice")]
        known = pb.RoleEntity(name="reader", description="may read")
        others = [pb.RoleResult(role=pb.RoleEntity(name="public"))]
        return pb.SelectRoleResponse(
            results=[
                pb.RoleResult(role=known, users=users),
                *([] if select_role_request.role.name else others),
            ]
        )

    async def select_grant(self, select_grant_request):
        entity = select_grant_request.entity
        assert entity.db_name == "*", "the grants of every database are wanted"
        if entity.role.name != "reader":
            return pb.SelectGrantResponse(status=common.Status(code=1100, reason="no such role"))
        return pb.SelectGrantResponse(entities=[grant()])

    async def list_privilege_groups(self, list_privilege_groups_request):
        groups = (("Writers", ["Insert"]), ("Readers", ["Search", "Query"]), ("ClusterAdmin", []))
        return pb.ListPrivilegeGroupsResponse(
            privilege_groups=[
                pb.PrivilegeGroupInfo(
                    group_name=name, privileges=[pb.PrivilegeEntity(name=each) for each in members]
                )
                for name, members in groups
            ]
        )


async def asked(question, milvus=None):
    milvus = milvus or Milvus()
    async with ChannelFor([milvus]) as channel:
        answer = await question(RoleClient(channel, "host:1", Login("alice", Secret("secret"))))
        return answer, milvus.requests


async def test_roles_and_groups_come_in_order():
    names, _ = await asked(lambda client: client.list_names())
    assert names == ["public", "reader"]
    groups, _ = await asked(lambda client: client.list_groups())
    assert groups == [
        Group("Readers", ("Search", "Query"), built_in=False),
        Group("Writers", ("Insert",), built_in=False),
        Group("ClusterAdmin", (), built_in=True),
    ]


async def test_a_role_is_described_with_its_users_and_grants():
    found, _ = await asked(lambda client: client.describe("reader"))
    assert (found.description, found.users) == ("may read", ("alice", "bob"))
    assert found.grants == (Grant("Search", "sales", "books", "Collection", "root"),)


async def test_who_may_not_list_roles_sees_the_grants_of_an_own_one():
    refused = Milvus(select_role=grpclib.GRPCError(Status.PERMISSION_DENIED, "no"))
    found, _ = await asked(lambda client: client.describe("reader"), refused)
    assert found.users is None
    assert found.description is None
    assert len(found.grants) == 1
    with pytest.raises(LoginRefusedError):
        await asked(
            lambda client: client.describe("reader"),
            Milvus(select_role=grpclib.GRPCError(Status.UNAUTHENTICATED, "no")),
        )


async def test_an_unknown_role_is_the_servers_error():
    with pytest.raises(NegativeError, match="no such role"):
        await asked(lambda client: client.describe("raeder"))


async def test_changes_ask_for_what_was_said():
    privilege = pb.PrivilegeEntity(name="Search")
    privileges, users = pb.OperatePrivilegeType, pb.OperateUserRoleType
    groups = pb.OperatePrivilegeGroupType
    for change, expected in (
        (
            lambda client: client.create("r", "text"),
            pb.CreateRoleRequest(entity=pb.RoleEntity(name="r", description="text")),
        ),
        (
            lambda client: client.alter("r", "text"),
            pb.AlterRoleRequest(role_name="r", description="text"),
        ),
        (
            lambda client: client.drop("r", force=True),
            pb.DropRoleRequest(role_name="r", force_drop=True),
        ),
        (
            lambda client: client.give("r", "bob"),
            pb.OperateUserRoleRequest(username="bob", role_name="r", type=users.AddUserToRole),
        ),
        (
            lambda client: client.take("r", "bob"),
            pb.OperateUserRoleRequest(username="bob", role_name="r", type=users.RemoveUserFromRole),
        ),
        *(
            (
                change,
                pb.OperatePrivilegeV2Request(
                    role=pb.RoleEntity(name="r"),
                    grantor=pb.GrantorEntity(privilege=privilege),
                    type=kind,
                    db_name="sales",
                    collection_name="books",
                ),
            )
            for change, kind in (
                (lambda client: client.grant("r", "Search", BOOKS), privileges.Grant),
                (lambda client: client.revoke("r", "Search", BOOKS), privileges.Revoke),
            )
        ),
        (lambda client: client.create_group("g"), pb.CreatePrivilegeGroupRequest(group_name="g")),
        (lambda client: client.drop_group("g"), pb.DropPrivilegeGroupRequest(group_name="g")),
        *(
            (
                change,
                pb.OperatePrivilegeGroupRequest(group_name="g", privileges=[privilege], type=kind),
            )
            for change, kind in (
                (lambda client: client.add_to_group("g", ["Search"]), groups.AddPrivilegesToGroup),
                (
                    lambda client: client.remove_from_group("g", ["Search"]),
                    groups.RemovePrivilegesFromGroup,
                ),
            )
        ),
    ):
        _, requests = await asked(change)
        assert requests == [expected]
        with pytest.raises(NegativeError, match="the server's words"):
            await asked(change, Milvus(common.Status(code=1100, reason="the server's words")))
        with pytest.raises(NotAllowedError):
            await asked(change, Milvus(grpclib.GRPCError(Status.PERMISSION_DENIED, "no")))


async def test_what_is_not_there_is_neither_dropped_nor_revoked():
    for change in (
        lambda client: role.drop_if_present(client, "raeder", force=True),
        lambda client: group.drop_if_present(client, "Raeders"),
        lambda client: role.revoke_if_granted(client, "reader", "Query", BOOKS),
        lambda client: role.revoke_if_granted(
            client, "reader", "Search", GrantScope("default", "books")
        ),
        lambda client: role.revoke_if_granted(client, "reader", "Search", GrantScope("sales", "*")),
    ):
        assert await asked(change) == (False, [])
    for change in (
        lambda client: role.drop_if_present(client, "reader", force=False),
        lambda client: group.drop_if_present(client, "Readers"),
        lambda client: role.revoke_if_granted(client, "reader", "Search", BOOKS),
    ):
        changed, requests = await asked(change)
        assert changed
        assert len(requests) == 1


async def test_a_role_with_grants_is_refused_with_the_option_that_drops_it():
    text = "fail to drop the role that it has privileges. Use REVOKE API to revoke privileges"
    for reason, advice in ((text, "; --force drops the role with its grants"), ("other", "")):
        milvus = Milvus(common.Status(code=1100, reason=reason))
        with pytest.raises(NegativeError) as refused:
            await asked(lambda client: role.drop_if_present(client, "reader", force=False), milvus)
        assert str(refused.value) == reason + advice


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("search", "; did you mean Search?"),
        ("CollectionReadonly", "; did you mean CollectionReadOnly?"),
        ("Xyz", ""),
    ],
)
async def test_an_unknown_privilege_is_refused_with_a_similar_one(name, advice):
    text = f"not found the privilege name[{name}]: invalid parameter"
    milvus = Milvus(common.Status(code=1100, reason=text))
    with pytest.raises(NegativeError) as refused:
        await asked(lambda client: role.grant_privilege(client, "reader", name, BOOKS), milvus)
    assert str(refused.value) == text + advice
    milvus = Milvus(common.Status(code=1100, reason="no such role"))
    with pytest.raises(NegativeError) as refused:
        await asked(lambda client: role.grant_privilege(client, "reader", name, BOOKS), milvus)
    assert str(refused.value) == "no such role"


async def test_roles_are_given_before_others_are_taken_and_the_first_error_ends_it():
    _, requests = await asked(
        lambda client: user.change_roles(client, "bob", ["reader", "writer"], ["admin"])
    )
    assert [(each.role_name, int(each.type)) for each in requests] == [
        ("reader", 0),
        ("writer", 0),
        ("admin", 1),
    ]
    milvus = Milvus(common.Status(code=1100, reason="no such user"))
    with pytest.raises(NegativeError):
        await asked(lambda client: user.change_roles(client, "bob", ["a", "b"], []), milvus)
    assert len(milvus.requests) == 1
