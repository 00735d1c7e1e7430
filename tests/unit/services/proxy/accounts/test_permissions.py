import pytest

from vecguard.proxy.accounts.errors import AnonymousChangeError
from vecguard.proxy.accounts.methods import SERVED
from vecguard.proxy.accounts.permissions import Permissions
from vecguard.proxy.identity_headers import Caller
from vecguard.proxy.principal import ANONYMOUS, Principal

PERMISSIONS = Permissions(frozenset({"super"}))

NOBODY = Caller(ANONYMOUS)


def test_without_authorization_changes_need_a_setting():
    Permissions(frozenset({"super"}), anonymous_changes=True).require_change(NOBODY)
    with pytest.raises(AnonymousChangeError):
        PERMISSIONS.require_change(NOBODY)


@pytest.mark.parametrize("username", ["root", "super", "bob"])
def test_callers_with_a_name_may_make_changes_if_the_relay_has_let_them_pass(username):
    PERMISSIONS.require_change(Caller(Principal(username, 7)))


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
    names = {path.decode().rpartition("/")[2] for path in SERVED}
    assert names == {
        *("CreateCredential", "UpdateCredential", "DeleteCredential", "ListCredUsers"),
        *("CreateRole", "AlterRole", "DropRole", "OperateUserRole", "SelectRole", "SelectUser"),
        *("OperatePrivilege", "OperatePrivilegeV2", "SelectGrant", "BackupRBAC", "RestoreRBAC"),
        *("CreatePrivilegeGroup", "DropPrivilegeGroup", "ListPrivilegeGroups"),
        "OperatePrivilegeGroup",
    }
