"""One conversation about accounts, held with Milvus and with the proxy.

It begins and ends with `root` as the only user.
"""

import base64
from dataclasses import dataclass
from typing import Any

import grpc
from pymilvus.grpc_gen import common_pb2, milvus_pb2

_SERVICE = milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"]
_TIMEOUT_SECONDS = 30.0
# Milvus's default for proxy.maxUserNum, which counts root.
_MAX_USERS = 100

ROOT = "root:Milvus"
ALICE = "alice:alice-second2"


@dataclass(frozen=True)
class Step:
    """One call. `login` is `user:password`; None sends no authorization header."""

    name: str
    method: str
    request: Any
    login: str | None = ROOT


@dataclass(frozen=True)
class Answer:
    """A reply's bytes, or the gRPC status (code and details) of a call that failed."""

    reply: bytes = b""
    status: tuple[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        return {"reply": self.reply.hex()} if self.status is None else {"status": list(self.status)}

    @classmethod
    def of_json(cls, value: dict[str, Any]) -> "Answer":
        if "status" in value:
            return cls(status=(value["status"][0], value["status"][1]))
        return cls(bytes.fromhex(value["reply"]))


def decoded(method: str, reply: bytes) -> Any:
    """The reply as a message."""
    name = _SERVICE.methods_by_name[method].output_type.name
    kind = common_pb2.Status if name == "Status" else getattr(milvus_pb2, name)
    return kind.FromString(reply)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _create(name: str, username: str, password: str, login: str | None = ROOT) -> Step:
    request = milvus_pb2.CreateCredentialRequest(username=username, password=password)
    return Step(f"create {name}", "CreateCredential", request, login)


def _update(
    name: str, username: str, old: str, new: str, login: str | None = ROOT, **fields: Any
) -> Step:
    request = milvus_pb2.UpdateCredentialRequest(
        username=username, oldPassword=old, newPassword=new, **fields
    )
    return Step(f"update {name}", "UpdateCredential", request, login)


def _delete(name: str, username: str, login: str | None = ROOT) -> Step:
    request = milvus_pb2.DeleteCredentialRequest(username=username)
    return Step(f"delete {name}", "DeleteCredential", request, login)


def _list(name: str, login: str | None = ROOT) -> Step:
    return Step(f"list {name}", "ListCredUsers", milvus_pb2.ListCredUsersRequest(), login)


def _select_user(name: str, *names: str, login: str | None = ROOT) -> Step:
    request = milvus_pb2.SelectUserRequest(include_role_info=True)
    for each in names:
        request.user.name = each
        request.user.SetInParent()
    return Step(f"select {name}", "SelectUser", request, login)


def _select_role(name: str, *names: str, login: str | None = ROOT) -> Step:
    request = milvus_pb2.SelectRoleRequest(include_user_info=True)
    for each in names:
        request.role.name = each
        request.role.SetInParent()
    return Step(f"select {name}", "SelectRole", request, login)


def _select_grant(name: str, role: str, login: str | None = ROOT) -> Step:
    entity = milvus_pb2.GrantEntity(role=milvus_pb2.RoleEntity(name=role))
    return Step(
        f"grants {name}", "SelectGrant", milvus_pb2.SelectGrantRequest(entity=entity), login
    )


_FIRST, _SECOND, _THIRD = map(_base64, ("alice-first1", "alice-second2", "alice-third3"))
_NO_BASE64 = "no base64!"

_LOOKING = (
    _list("users"),
    _list("users without a login", None),
    _list("users with a wrong login", "root:wrong"),
    _select_user("every user"),
    _select_user("root", "root"),
    _select_user("an unknown user", "unknown"),
    _select_user("a user without a name", ""),
    _select_user("a user whose name begins with a digit", "1user"),
    _select_role("every role"),
    _select_role("admin", "admin"),
    _select_role("public", "public"),
    _select_role("an unknown role", "unknown"),
    _select_role("a role without a name", ""),
    _select_role("a role whose name begins with a digit", "1role"),
    _select_role("a role with a bad name", "bad-role"),
    _select_role("a role with a long name", "r" * 256),
    _select_grant("of admin", "admin"),
    _select_grant("of public", "public"),
    _select_grant("of an unknown role", "unknown"),
    _select_grant("of a role without a name", ""),
    _select_grant("of a role with a bad name", "bad-role"),
    Step("grants of nothing", "SelectGrant", milvus_pb2.SelectGrantRequest()),
    Step(
        "grants of an empty entity",
        "SelectGrant",
        milvus_pb2.SelectGrantRequest(entity=milvus_pb2.GrantEntity()),
    ),
)

_CHANGING = (
    _create("alice", "alice", _FIRST),
    _create("alice again", "alice", _FIRST),
    _create("a user without a name", "", _FIRST),
    _create("a user whose name is blank", "   ", _FIRST),
    _create("a user with a long name", "u" * 33, _FIRST),
    _create("a user whose name begins with a digit", "1user", _FIRST),
    _create("a user with a bad name", "bad!user", _FIRST),
    _create("a user without a password", "bob", ""),
    _create("a user with a short password", "bob", _base64("short")),
    _create("a user with a long password", "bob", _base64("x" * 257)),
    _create("a user with a password that is not base64", "bob", _NO_BASE64),
    _update("alice", "alice", _FIRST, _SECOND),
    _update("alice with a wrong old password", "alice", _base64("wrong-old"), _THIRD),
    _update("an unknown user", "unknown", _base64("wrong-old"), _THIRD),
    _update("a user without a name", "", _base64("wrong-old"), _THIRD),
    _update("an unknown user without the old password", "unknown", "", _THIRD),
    _update("root without the old password", "root", "", _THIRD),
    _update("alice with an old password that is not base64", "alice", _NO_BASE64, _THIRD),
    _update("alice with a new password that is not base64", "alice", _SECOND, _NO_BASE64),
    _update("alice with a short new password", "alice", _SECOND, _base64("short")),
    _update("alice with nothing new", "alice", _SECOND, ""),
    _select_user("alice", "alice"),
    _delete("root", "root"),
    _delete("a user without a name", ""),
    _delete("an unknown user", "unknown"),
)

_AS_ALICE = (
    _list("users as alice", ALICE),
    _select_user("alice as alice", "alice", login=ALICE),
    _select_user("alice with the former password", "alice", login="alice:alice-first1"),
    _select_user("root as alice", "root", login=ALICE),
    _select_user("every user as alice", login=ALICE),
    _select_role("every role as alice", login=ALICE),
    _select_grant("of admin as alice", "admin", ALICE),
    _select_grant("of public as alice", "public", ALICE),
    _create("a user as alice", "bob", _FIRST, ALICE),
    _update("root as alice", "root", _base64("Milvus"), _THIRD, ALICE),
    _update("alice as alice with a wrong old password", "alice", _FIRST, _THIRD, ALICE),
    _update("alice as alice without the old password", "alice", "", _THIRD, ALICE),
    _update("alice as alice", "alice", _SECOND, _THIRD, ALICE),
    _delete("alice as alice", "alice", "alice:alice-third3"),
)

# Last: Milvus lets root reset no password of another user, and the proxy does.
_RESETTING = (
    _update("alice without the old password", "alice", "", _FIRST),
    _delete("alice", "alice"),
    _delete("alice again", "alice"),
    _list("users at the end"),
)


def _role(name: str, role: str) -> Step:
    entity = milvus_pb2.RoleEntity(name=role)
    return Step(f"create role {name}", "CreateRole", milvus_pb2.CreateRoleRequest(entity=entity))


def _drop_role(name: str, role: str) -> Step:
    return Step(f"drop role {name}", "DropRole", milvus_pb2.DropRoleRequest(role_name=role))


def _member(name: str, username: str, role: str, *, remove: bool = False) -> Step:
    request = milvus_pb2.OperateUserRoleRequest(username=username, role_name=role, type=int(remove))
    return Step(f"{'take' if remove else 'give'} {name}", "OperateUserRole", request)


def _entity(role: str, kind: str, on: str, privilege: str = "", **fields: Any) -> Any:
    grantor = milvus_pb2.GrantorEntity(privilege=milvus_pb2.PrivilegeEntity(name=privilege))
    return milvus_pb2.GrantEntity(
        role=milvus_pb2.RoleEntity(name=role),
        object=milvus_pb2.ObjectEntity(name=kind),
        object_name=on,
        grantor=grantor if privilege else None,
        **fields,
    )


def _grant(name: str, entity: Any = None, *, revoke: bool = False) -> Step:
    request = milvus_pb2.OperatePrivilegeRequest(entity=entity, type=int(revoke))
    return Step(f"{'revoke' if revoke else 'grant'} {name}", "OperatePrivilege", request)


def _grants(name: str, entity: Any) -> Step:
    return Step(f"list {name}", "SelectGrant", milvus_pb2.SelectGrantRequest(entity=entity))


_SEARCH = _entity("reader", "Collection", "books", "Search")
_PRIVILEGE = milvus_pb2.GrantorEntity(privilege=milvus_pb2.PrivilegeEntity(name="Search"))

# Not about an unknown type of object: Milvus names the known ones in an order that varies.
_ROLES = (
    _role("reader", "reader"),
    _role("reader again", "reader"),
    _role("without a name", ""),
    _role("with a bad name", "bad-role"),
    Step("create role of nothing", "CreateRole", milvus_pb2.CreateRoleRequest()),
    _member("reader to alice", "alice", "reader"),
    _member("reader to alice again", "alice", "reader"),
    _member("reader to an unknown user", "unknown", "reader"),
    _member("an unknown role to alice", "alice", "unknown"),
    _member("reader to a bad name", "", "reader"),
    _select_user("alice with a role", "alice"),
    _select_role("reader with a user", "reader"),
    _grant("Search on books", _SEARCH),
    _grant("Search on books again", _SEARCH),
    _grant("a privilege on everything", _entity("reader", "Global", "x", "CreateCollection")),
    _grant("everything on a collection", _entity("reader", "Collection", "*", "*")),
    _grant("in another database", _entity("reader", "User", "*", "SelectUser", db_name="db1")),
    _grant("an unknown privilege", _entity("reader", "Collection", "books", "Unknown")),
    _grant("a privilege of another type", _entity("reader", "Global", "*", "Search")),
    _grant("to an unknown role", _entity("unknown", "Collection", "books", "Search")),
    _grant("to a bad name", _entity("bad-role", "Collection", "books", "Search")),
    _grant("on an empty name", _entity("reader", "Collection", "", "Search")),
    _grant("on a bad name", _entity("reader", "Collection", "bad-name", "Search")),
    _grant("nothing"),
    _grant("without a grantor", _entity("reader", "Collection", "books")),
    _grant(
        "without a privilege",
        milvus_pb2.GrantEntity(
            grantor=milvus_pb2.GrantorEntity(user=milvus_pb2.UserEntity(name="root"))
        ),
    ),
    _grant("without an object", milvus_pb2.GrantEntity(grantor=_PRIVILEGE)),
    _grant(
        "without a role",
        milvus_pb2.GrantEntity(
            grantor=_PRIVILEGE, object=milvus_pb2.ObjectEntity(name="Global"), object_name="*"
        ),
    ),
    _grants("grants of reader on books", _entity("reader", "Collection", "books")),
    _grants("grants of reader on others", _entity("reader", "Collection", "others")),
    _grants("grants of reader on nothing", _entity("reader", "Collection", "")),
    _grants(
        "grants of reader in another database",
        milvus_pb2.GrantEntity(role=milvus_pb2.RoleEntity(name="reader"), db_name="db1"),
    ),
    _drop_role("with grants", "reader"),
    _grant("Search on books", _SEARCH, revoke=True),
    _grant("Search on books again", _SEARCH, revoke=True),
    _grant("a privilege on everything", _entity("reader", "Global", "x", "CreateCollection"),
           revoke=True),
    _grant("everything on a collection", _entity("reader", "Collection", "*", "*"), revoke=True),
    _grant("in another database", _entity("reader", "User", "*", "SelectUser", db_name="db1"),
           revoke=True),
    _grants("grants of reader at the end",
            milvus_pb2.GrantEntity(role=milvus_pb2.RoleEntity(name="reader"))),
    _member("reader from alice", "alice", "reader", remove=True),
    _member("reader from alice again", "alice", "reader", remove=True),
    _member("reader from an unknown user", "unknown", "reader", remove=True),
    _member("an unknown role from alice", "alice", "unknown", remove=True),
    _drop_role("reader", "reader"),
    _drop_role("reader again", "reader"),
    _drop_role("admin", "admin"),
    _drop_role("without a name", ""),
)  # fmt: skip

# Milvus 2.3.5 knows none of these.
_LATER = tuple(
    Step(f"later: {method}", method, request)
    for method, request in (
        ("AlterRole", milvus_pb2.AlterRoleRequest(role_name="unknown", description="reads")),
        ("OperatePrivilegeV2", milvus_pb2.OperatePrivilegeV2Request()),
        ("CreatePrivilegeGroup", milvus_pb2.CreatePrivilegeGroupRequest(group_name="group")),
        ("OperatePrivilegeGroup", milvus_pb2.OperatePrivilegeGroupRequest(group_name="group")),
        ("DropPrivilegeGroup", milvus_pb2.DropPrivilegeGroupRequest(group_name="group")),
        ("BackupRBAC", milvus_pb2.BackupRBACMetaRequest()),
        ("RestoreRBAC", milvus_pb2.RestoreRBACMetaRequest()),
    )
)

STEPS = (*_LOOKING, *_CHANGING, *_AS_ALICE, *_ROLES, *_RESETTING, *_LATER)
ONE_TOO_MANY = _create("one user too many", "u0", _FIRST)


async def hold(address: str) -> dict[str, Answer]:
    """Holds the conversation; returns each step's answer by its name."""
    async with grpc.aio.insecure_channel(address) as channel:
        answers = {step.name: await _answer(channel, step) for step in STEPS}
        others = [f"u{number}" for number in range(1, _MAX_USERS)]
        for username in others:
            await _succeed(channel, _create(username, username, _FIRST))
        answers[ONE_TOO_MANY.name] = await _answer(channel, ONE_TOO_MANY)
        for username in others:
            await _succeed(channel, _delete(username, username))
    return answers


async def _succeed(channel: grpc.aio.Channel, step: Step) -> None:
    answer = await _answer(channel, step)
    assert answer == Answer(), (step.name, answer)


async def _answer(channel: grpc.aio.Channel, step: Step) -> Answer:
    login = () if step.login is None else (("authorization", _base64(step.login)),)
    call = channel.unary_unary(f"/milvus.proto.milvus.MilvusService/{step.method}")
    try:
        return Answer(
            await call(step.request.SerializeToString(), metadata=login, timeout=_TIMEOUT_SECONDS)
        )
    except grpc.aio.AioRpcError as error:
        return Answer(status=(error.code().name, error.details() or ""))
