import pytest
from grpclib.const import Status

from services.proxy.accounts.errors import PermissionDeniedError
from services.proxy.accounts.methods import SERVED, UNSERVED
from services.proxy.accounts.permissions import Actor, Permissions, Privilege, roles_of

PERMISSIONS = Permissions(frozenset({"super"}))


def actor(username):
    return Actor(username, "default")


@pytest.mark.parametrize("username", ["root", "super", None])
@pytest.mark.parametrize("privilege", Privilege)
@pytest.mark.parametrize("target", [None, "bob", "root"])
def test_administrators_may_do_everything(username, privilege, target):
    PERMISSIONS.require(actor(username), privilege, target=target)


@pytest.mark.parametrize("privilege", Privilege)
@pytest.mark.parametrize("target", [None, "eve", "root", "super", "Bob", "bob ", ""])
@pytest.mark.parametrize("username", ["bob", "Root", "root ", "", "supe"])
def test_others_may_do_nothing_to_others(username, privilege, target):
    if username == target:
        return
    with pytest.raises(PermissionDeniedError):
        PERMISSIONS.require(actor(username), privilege, target=target)


@pytest.mark.parametrize("privilege", [Privilege.UPDATE_USER, Privilege.SELECT_USER])
def test_everybody_may_see_and_change_themselves(privilege):
    PERMISSIONS.require(actor("bob"), privilege, target="bob")


def test_a_refusal_is_a_grpc_status_with_milvus_text():
    with pytest.raises(PermissionDeniedError) as refusal:
        PERMISSIONS.require(Actor("bob", "books"), Privilege.CREATE)
    assert refusal.value.status is Status.PERMISSION_DENIED
    assert refusal.value.message == (
        "PrivilegeCreateOwnership: permission deny to bob in the `books` database"
    )


@pytest.mark.parametrize(
    ("username", "target", "needed"),
    [
        ("bob", "bob", True),
        ("root", "bob", False),
        ("root", "root", True),
        ("super", "bob", False),
        ("super", "super", False),
        ("super", "root", False),
        (None, "root", False),
    ],
)
def test_who_has_to_show_the_old_password(username, target, needed):
    assert PERMISSIONS.needs_old_password(actor(username), target) == needed


def test_root_among_the_super_users_need_not_show_its_own():
    assert not Permissions(frozenset({"root"})).needs_old_password(actor("root"), "root")


def test_root_is_an_administrator_and_everybody_is_public():
    assert roles_of("root") == ["admin", "public"]
    assert roles_of("bob") == ["public"]
    assert roles_of("super") == ["public"]


def test_no_account_method_reaches_the_backend():
    names = {path.decode().rpartition("/")[2] for path in SERVED | set(UNSERVED)}
    assert names == {
        *("CreateCredential", "UpdateCredential", "DeleteCredential", "ListCredUsers"),
        *("CreateRole", "AlterRole", "DropRole", "OperateUserRole", "SelectRole", "SelectUser"),
        *("OperatePrivilege", "OperatePrivilegeV2", "SelectGrant", "BackupRBAC", "RestoreRBAC"),
        *("CreatePrivilegeGroup", "DropPrivilegeGroup", "ListPrivilegeGroups"),
        "OperatePrivilegeGroup",
    }
    assert SERVED.isdisjoint(UNSERVED)
