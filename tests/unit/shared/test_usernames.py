import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.errors import InvalidParameterError
from vecguard.usernames import UsernamePolicy, is_storable

LETTERS = string.ascii_letters
BASIC = LETTERS + string.digits + "_"


def refusal_of(policy: UsernamePolicy, username: str) -> str:
    with pytest.raises(InvalidParameterError) as refusal:
        policy.normalise(username)
    return refusal.value.message


@pytest.mark.parametrize("username", ["a", "root", "A_1", "u" + "_" * 31, "Zz9"])
def test_a_name_by_the_rules_is_taken_as_it_is(username):
    assert UsernamePolicy().normalise(username) == username


@pytest.mark.parametrize("username", [" root", "root\t", "\n root \r\n", "\u00a0root\u2003"])
def test_white_space_around_a_name_is_no_part_of_it(username):
    assert UsernamePolicy().normalise(username) == "root"


@pytest.mark.parametrize("username", ["", " ", "\t\n"])
def test_an_empty_name_is_refused(username):
    assert refusal_of(UsernamePolicy(), username) == "username must be not empty: invalid parameter"


def test_a_name_that_is_too_long_is_refused():
    name = "u" * 33
    assert refusal_of(UsernamePolicy(), name) == (
        f"invalid username {name} with length 33, "
        "the length of username must be less than 32: invalid parameter"
    )


def test_the_length_is_counted_without_the_white_space_around():
    assert UsernamePolicy().normalise(f"  {'u' * 32}  ") == "u" * 32


@pytest.mark.parametrize("username", ["1a", "_a", "-a", ".a", "éa", "/a", "\0a", "ªa"])
def test_a_name_that_begins_with_no_letter_is_refused(username):
    assert refusal_of(UsernamePolicy(extra_characters=".-"), username) == (
        f"invalid user name {username}, the first character must be a letter, "
        f"but got {username[0]}: invalid parameter"
    )


@pytest.mark.parametrize(
    "character", ["-", ".", "/", ":", " ", "é", "\0", "\n", "$", "\u0661", "\u212a"]
)
def test_any_other_character_is_refused(character):
    username = f"a{character}b"
    assert refusal_of(UsernamePolicy(), username) == (
        f"invalid user name {username}, username must contain only numbers, letters and "
        f"underscores, but got {character}: invalid parameter"
    )


@pytest.mark.parametrize(
    ("extra", "allowed", "refused"),
    [(".", "a.b", "a-b"), ("-", "a-b", "a.b"), (".-", "a.b-c", "a/b")],
)
def test_extra_characters_are_allowed_one_by_one(extra, allowed, refused):
    policy = UsernamePolicy(extra_characters=extra)
    assert policy.normalise(allowed) == allowed
    message = refusal_of(policy, refused)
    assert ("dots" in message) == ("." in extra)
    assert ("hyphens" in message) == ("-" in extra)


@given(st.text(BASIC, max_size=31), st.sampled_from(LETTERS))
def test_every_name_by_the_rules_is_accepted_and_storable(rest, first):
    assert UsernamePolicy().normalise(first + rest) == first + rest
    assert is_storable(first + rest)


@given(st.text())
def test_what_is_accepted_obeys_the_rules_and_nothing_else_is_raised(username):
    try:
        name = UsernamePolicy(extra_characters=".-").normalise(username)
    except InvalidParameterError:
        return
    assert 1 <= len(name) <= 32
    assert name[0] in LETTERS
    assert set(name) <= set(BASIC + ".-")
    assert is_storable(name)
    assert name == username.strip()


@given(st.text())
def test_a_storable_name_is_safe_in_a_key_and_in_a_header(username):
    if is_storable(username):
        assert username.isascii()
        assert username.isprintable()
        assert not set(username) & set("/: ")
        assert 1 <= len(username) <= 255


@pytest.mark.parametrize("username", ["1st", "_x", "a@b.c", "a$b", "x" * 255])
def test_names_that_a_more_generous_milvus_allowed_can_log_in(username):
    assert is_storable(username)


@pytest.mark.parametrize("username", ["", "a/b", "a:b", "a b", "é", "a\0", "x" * 256, "a\x7f"])
def test_names_that_no_store_may_hold_cannot(username):
    assert not is_storable(username)
