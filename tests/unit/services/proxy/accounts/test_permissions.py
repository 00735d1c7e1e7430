import pytest

from vecguard.errors import Status
from vecguard.proxy.accounts.errors import AnonymousChangeError, PermissionDeniedError
from vecguard.proxy.accounts.methods import SERVED, UNSERVED
from vecguard.proxy.accounts.permissions import Actor, Permissions, Privilege

PERMISSIONS = Permissions(frozenset({"super"}))


def actor(username):
    return Actor(username, "default")


@pytest.mark.parametrize("username", ["root", "super"])
@pytest.mark.parametrize("privilege", Privilege)
@pytest.mark.parametrize("target", [None, "bob", "root"])
def test_administrators_may_do_everything(username, privilege, target):
    PERMISSIONS.require(actor(username), privilege, target=target)


@pytest.mark.parametrize("privilege", Privilege)
@pytest.mark.parametrize("target", [None, "bob", "root"])
def test_without_authorization_callers_read_and_changes_need_a_setting(privilege, target):
    allowing = Permissions(frozenset({"super"}), anonymous_changes=True)
    allowing.require(actor(None), privilege, target=target)
    if privilege in {Privilege.SELECT, Privilege.SELECT_USER}:
        PERMISSIONS.require(actor(None), privilege, target=target)
    else:
        with pytest.raises(AnonymousChangeError):
            PERMISSIONS.require(actor(None), privilege, target=target)


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
    ("username", "target", "checked_if_given", "checked_if_not"),
    [
        ("bob", "bob", True, True),
        ("root", "bob", True, False),
        ("root", "root", True, True),
        ("super", "bob", False, False),
        ("super", "super", False, False),
        ("super", "root", False, False),
        (None, "root", True, False),
    ],
)
def test_which_changes_check_the_old_password(username, target, checked_if_given, checked_if_not):
    def is_checked(*, is_given):
        return PERMISSIONS.checks_old_password(actor(username), target, is_given=is_given)

    assert is_checked(is_given=True) == checked_if_given
    assert is_checked(is_given=False) == checked_if_not


@pytest.mark.parametrize("is_given", [True, False])
def test_the_old_password_of_root_is_not_checked_if_root_is_a_super_user(is_given):
    permissions = Permissions(frozenset({"root"}))
    assert not permissions.checks_old_password(actor("root"), "root", is_given=is_given)


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
