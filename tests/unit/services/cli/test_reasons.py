import ast
import re

import pytest

from tests.unit.docs.quoted_texts import CHECKOUT
from tests.unit.services.cli.command_tree import commands
from vecguard.cli import exit_codes, public_calls
from vecguard.cli.exit_codes import NegativeError, UsageError, reason_of
from vecguard.cli.reasons import Reason, reason_of_refusal
from vecguard.errors import InvalidParameterError, UnavailableError, VecguardError
from vecguard.etcd.errors import EtcdNoSpaceError
from vecguard.passwords import PasswordPolicy
from vecguard.proxy.accounts import errors, role_errors
from vecguard.proxy.accounts.names import NameRules, check_database, check_group_name
from vecguard.proxy.authentication.errors import LoginLimitedError
from vecguard.secret import Secret
from vecguard.usernames import UsernamePolicy


def raised(check, *arguments):
    with pytest.raises(VecguardError) as caught:
        check(*arguments)
    return caught.value.message


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errors.UserExistsError("a"), Reason.USER_EXISTS),
        (errors.UserLimitError(), Reason.USER_LIMIT),
        (errors.UserNotFoundError(), Reason.USER_NOT_FOUND),
        (errors.WrongOldPasswordError("a"), Reason.WRONG_PASSWORD),
        (errors.AnonymousChangeError(), Reason.AUTHORIZATION_OFF),
        (errors.RootProtectedError(), Reason.ROOT_PROTECTED),
        (errors.OutdatedRootCoordError("rc:1"), Reason.OUTDATED_ROOT_COORD),
        (role_errors.DefaultRoleError("admin"), Reason.ROLE_PROTECTED),
        (role_errors.BuiltInRoleError("r", "dropped"), Reason.ROLE_PROTECTED),
        (role_errors.RoleExistsError("r", "text"), Reason.ROLE_EXISTS),
        (role_errors.RoleLimitError(), Reason.ROLE_LIMIT),
        (role_errors.NoSuchRoleError(), Reason.ROLE_NOT_FOUND),
        (role_errors.NoSuchRoleToAlterError(), Reason.ROLE_NOT_FOUND),
        (role_errors.UnknownRoleError("r", "a prefix: "), Reason.ROLE_NOT_FOUND),
        (role_errors.UnknownGrantorError("u"), Reason.USER_NOT_FOUND),
        (role_errors.NoSuchUserError("u"), Reason.USER_NOT_FOUND),
        (role_errors.RoleHasGrantsError(["default"]), Reason.ROLE_HAS_GRANTS),
        (role_errors.CollectionChangingError(), Reason.COLLECTION_CHANGING),
        (role_errors.description_error(2000, 1024), Reason.DESCRIPTION_TOO_LONG),
        (
            role_errors.InvalidRequestError("not found the privilege name[X]"),
            Reason.PRIVILEGE_NOT_FOUND,
        ),
        (role_errors.UnexpectedOutcomeError("odd"), Reason.REFUSED),
    ],
    ids=lambda each: getattr(each, "message", each),
)
def test_a_refusal_of_the_proxy_has_its_reason(error, reason):
    assert reason_of_refusal(error.message) is reason


def test_every_reason_of_a_group_s_errors_is_told_apart():
    source = (CHECKOUT / "services/vecguard/proxy/accounts/privilege_groups.py").read_text()
    found = {}
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "GroupError":
            (word,) = (each.value.value for each in call.keywords if each.arg == "reason")
            text = role_errors.GroupError("x", _filled(call.args[1]), reason="").message
            found.setdefault(word, set()).add(reason_of_refusal(text))
    assert found.pop("invalid_parameter") == {
        *(Reason.PRIVILEGE_NOT_FOUND, Reason.LEVELS_DIFFER, Reason.REFUSED),
    }
    assert found == {word: {Reason(word)} for word in found}
    assert set(found) == {"group_exists", "group_in_use", "group_not_found"}


def _filled(text):
    if isinstance(text, ast.Constant):
        return text.value
    return "".join(
        getattr(part, "value", "") if isinstance(part, ast.Constant) else "name"
        for part in text.values
    )


@pytest.mark.parametrize(
    ("length", "reason"), [(5, Reason.PASSWORD_TOO_SHORT), (300, Reason.PASSWORD_TOO_LONG)]
)
def test_the_length_of_a_password_says_what_is_wrong_with_it(length, reason):
    text = raised(PasswordPolicy().check, Secret("x" * length))
    assert reason_of_refusal(text) is reason


def test_a_nul_makes_a_bad_password():
    assert reason_of_refusal(raised(PasswordPolicy().check, Secret("x\0" * 6))) is (
        Reason.BAD_PASSWORD
    )


@pytest.mark.parametrize(
    ("check", "names"),
    [
        (UsernamePolicy().normalise, ("", "1a", "a b", "a" * 40)),
        (NameRules().check_role, ("", "1a", "a b", "a" * 300)),
        (check_group_name, ("", "1a", "a b", "a" * 300)),
        (check_database, ("1a", "a b", "a" * 300)),
    ],
)
def test_a_name_that_breaks_a_rule_is_a_bad_name(check, names):
    assert [reason_of_refusal(raised(check, name)) for name in names] == (
        [Reason.BAD_NAME] * len(names)
    )


def test_another_text_is_only_a_refusal():
    assert reason_of_refusal("the moon is full") is Reason.REFUSED
    assert NegativeError("x").reason == "refused"


def test_the_text_of_a_limited_login_is_known():
    assert public_calls._LIMITED in LoginLimitedError(3).message


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UsageError("x"), Reason.USAGE),
        (NegativeError("x", reason=Reason.BAD_NAME), Reason.BAD_NAME),
        (public_calls.NotServingError("x"), Reason.UNAVAILABLE),
        (public_calls.RateLimitedError("x"), Reason.RATE_LIMITED),
        (EtcdNoSpaceError("x"), Reason.ETCD_NO_SPACE),
        (InvalidParameterError("x"), Reason.INTERNAL),
    ],
)
def test_an_error_has_a_reason_of_the_table(error, reason):
    assert reason_of(error) is reason


def test_what_is_derived_from_a_known_error_has_its_reason():
    class OddError(UnavailableError):
        reason = "odd"

    assert reason_of(OddError("x")) is Reason.UNAVAILABLE


def table():
    page = (CHECKOUT / "docs" / "cli.md").read_text()
    section = page.partition("\n### Reasons\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


def test_the_page_has_every_reason_once():
    assert sorted(table()) == sorted(Reason)


def test_no_reason_of_the_page_is_without_a_source():
    assert commands()  # all modules of the command are loaded, and with them their errors
    words = {
        kind.reason
        for kind in _all_subclasses(VecguardError)
        if kind.__module__.startswith(("vecguard.cli", "vecguard.errors", "vecguard.etcd"))
        or kind.__module__.startswith(("vecguard.tls", "vecguard.installations"))
    }
    code = "".join(path.read_text() for path in (CHECKOUT / "services/vecguard/cli").glob("*.py"))
    used = {each for each in Reason if f"Reason.{each.name}" in code}
    assert {each for each in Reason if each not in words} <= used
    assert exit_codes.NegativeError.reason in words


def _all_subclasses(kind):
    return {kind}.union(*(_all_subclasses(each) for each in kind.__subclasses__()))


def test_a_long_text_of_a_server_is_no_burden():
    # Unbounded, this one takes minutes.
    assert reason_of_refusal("of name " * 10_000) is Reason.REFUSED
