import pytest

from vecguard.proxy.accounts.errors import InvalidAccountError
from vecguard.proxy.accounts.names import NameRules


def test_the_configured_characters_are_allowed_after_the_first_one():
    NameRules("-.").check_role("a-b.c")
    for name in ("-a", "a$b"):
        with pytest.raises(InvalidAccountError):
            NameRules("-.").check_role(name)


def test_a_slash_is_never_allowed_because_it_ends_a_name_in_a_key():
    with pytest.raises(InvalidAccountError):
        NameRules("/").check_role("a/b")
