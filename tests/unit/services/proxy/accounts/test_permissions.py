import pytest

from vecguard.errors import Status
from vecguard.proxy.accounts.errors import AnonymousChangeError, PermissionDeniedError
from vecguard.proxy.accounts.methods import SERVED, UNSERVED
from vecguard.proxy.accounts.permissions import Permissions, Privilege
from vecguard.proxy.identity_headers import Caller
from vecguard.proxy.principal import ANONYMOUS, Principal

PERMISSIONS = Permissions(frozenset({"super"}))


NOBODY = Caller(ANONYMOUS)


def user(username, database="default"):
    return Caller(Principal(username, 7), database=database)


@pytest.mark.parametrize("username", ["root", "super"])
@pytest.mark.parametrize("privilege", Privilege)
@pytest.mark.parametrize("target", [None, "bob", "root"])
def test_administrators_may_do_everything(username, privilege, target):
    PERMISSIONS.require(user(username), privilege, target=target)


@pytest.mark.parametrize("privilege", Privilege)
@pytest.mark.parametrize("target", [None, "bob", "root"])
def test_without_authorization_callers_read_and_changes_need_a_setting(privilege, target):
    allowing = Permissions(frozenset({"super"}), anonymous_changes=True)
    allowing.require(NOBODY, privilege, target=target)
    if privilege in {Privilege.SELECT, Privilege.SELECT_USER}:
        PERMISSIONS.require(NOBODY, privilege, target=target)
    else:
        with pytest.raises(AnonymousChangeError):
            PERMISSIONS.require(NOBODY, privilege, target=target)


@pytest.mark.parametrize("privilege", Privilege)
@pytest.mark.parametrize("target", [None, "eve", "root", "super", "Bob", "bob ", ""])
@pytest.mark.parametrize("username", ["bob", "Root", "root ", "supe"])
def test_others_may_do_nothing_to_others(username, privilege, target):
    if username == target:
        return
    with pytest.raises(PermissionDeniedError):
        PERMISSIONS.require(user(username), privilege, target=target)


@pytest.mark.parametrize("privilege", [Privilege.UPDATE_USER, Privilege.SELECT_USER])
def test_everybody_may_see_and_change_themselves(privilege):
    PERMISSIONS.require(user("bob"), privilege, target="bob")


def test_a_refusal_is_a_grpc_status_with_milvus_text():
    with pytest.raises(PermissionDeniedError) as refusal:
        PERMISSIONS.require(user("bob", "books"), Privilege.CREATE)
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
        ("", "root", True, False),
    ],
)
def test_which_changes_check_the_old_password(username, target, checked_if_given, checked_if_not):
    principal = Principal(username, 7) if username else ANONYMOUS

    def is_checked(*, is_given):
        return PERMISSIONS.checks_old_password(principal, target, is_given=is_given)

    assert is_checked(is_given=True) == checked_if_given
    assert is_checked(is_given=False) == checked_if_not


def test_an_empty_name_among_the_super_users_makes_no_anonymous_caller_one():
    assert Permissions(frozenset({""})).checks_old_password(ANONYMOUS, "bob", is_given=True)


@pytest.mark.parametrize("is_given", [True, False])
def test_the_old_password_of_root_is_not_checked_if_root_is_a_super_user(is_given):
    permissions = Permissions(frozenset({"root"}))
    assert not permissions.checks_old_password(Principal("root", 7), "root", is_given=is_given)


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
