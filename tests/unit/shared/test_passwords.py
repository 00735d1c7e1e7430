import string

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecguard.errors import InvalidParameterError
from vecguard.passwords import (
    PasswordHash,
    PasswordPolicy,
    PasswordScheme,
    hash_password,
    verify_password,
)
from vecguard.secret import Secret

BODY = "N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"


# What can be set, whatever its length.
_TEXTS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=80
)


def plain_bcrypt(octets: bytes) -> PasswordHash:
    return PasswordHash(Secret(bcrypt.hashpw(octets, bcrypt.gensalt(4)).decode()))


def matches(password: str, expected: PasswordHash) -> bool:
    return verify_password(Secret(password), expected)


@pytest.mark.parametrize("length", [6, 7, 255, 256])
def test_a_length_within_the_limits_is_accepted(length):
    PasswordPolicy().check(Secret("p" * length))


@pytest.mark.parametrize("length", [0, 1, 5, 257, 100_000])
def test_a_length_outside_the_limits_is_refused_in_milvus_words(length):
    with pytest.raises(InvalidParameterError) as refusal:
        PasswordPolicy().check(Secret("p" * length))
    assert refusal.value.message == (
        f"invalid password length: invalid parameter[{length} out of range 6 <= value <= 256]"
    )


def test_lengths_count_characters_and_not_bytes():
    PasswordPolicy().check(Secret("é" * 256))
    with pytest.raises(InvalidParameterError):
        PasswordPolicy().check(Secret("é" * 5))


@pytest.mark.parametrize(
    ("password", "scheme"),
    [
        ("a" * 71, PasswordScheme.BCRYPT),
        ("a" * 72, PasswordScheme.BCRYPT),
        ("a" * 73, PasswordScheme.BCRYPT_SHA256),
        ("é" * 36, PasswordScheme.BCRYPT),
        ("a" * 71 + "é", PasswordScheme.BCRYPT_SHA256),
        ("é" * 37, PasswordScheme.BCRYPT_SHA256),
        ("a" * 70 + "😀", PasswordScheme.BCRYPT_SHA256),
        ("😀" * 18, PasswordScheme.BCRYPT),
    ],
)
def test_the_scheme_changes_beyond_72_bytes(password, scheme):
    stored = hash_password(Secret(password), 4)
    assert stored.scheme is scheme
    assert matches(password, stored)
    assert not matches(password[:-1], stored)
    assert not matches(password + "x", stored)


def test_long_passwords_with_the_same_first_72_bytes_differ():
    first, second = "a" * 72 + "1", "a" * 72 + "2"
    assert not matches(first, hash_password(Secret(second), 4))
    assert not matches(second, hash_password(Secret(first), 4))


def test_a_character_across_byte_72_is_never_cut():
    # Both begin with the same 72 bytes: 71 letters and the first byte of the last character.
    first, second = "a" * 71 + "é", "a" * 71 + "è"
    assert first.encode()[:72] == second.encode()[:72]
    assert not matches(first, hash_password(Secret(second), 4))


@pytest.mark.parametrize("tail", ["1", "é", "a" * 200])
def test_a_long_password_is_refused_by_a_plain_hash_of_its_first_72_bytes(tail):
    assert not matches("a" * 72 + tail, plain_bcrypt(b"a" * 72))
    assert matches("a" * 72, plain_bcrypt(b"a" * 72))


def test_the_digest_of_a_long_password_is_no_password():
    # The bcrypt input of the long scheme is 44 characters that anyone who knows it could type.
    long = "a" * 73
    stored = hash_password(Secret(long), 4)
    as_plain = PasswordHash(stored.encrypted, PasswordScheme.BCRYPT)
    assert not matches(long, as_plain)


@pytest.mark.parametrize("variant", ["2a", "2b", "2y"])
def test_hashes_of_every_bcrypt_variant_are_understood(variant):
    stored = plain_bcrypt(b"Milvus").encrypted.reveal()
    same = PasswordHash(Secret(f"${variant}${stored[4:]}"))
    assert matches("Milvus", same)
    assert not matches("milvus", same)


def test_a_new_hash_has_the_prefix_that_milvus_writes():
    assert hash_password(Secret("Milvus"), 4).encrypted.reveal().startswith("$2a$04$")


def test_a_hash_that_milvus_wrote_is_understood():
    # Of golang.org/x/crypto/bcrypt's own tests.
    go = PasswordHash(Secret("$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga"))
    assert matches("allmine", go)
    assert not matches("allmin", go)


def test_every_hash_has_a_salt_of_its_own():
    assert hash_password(Secret("Milvus"), 4) != hash_password(Secret("Milvus"), 4)


@pytest.mark.parametrize("cost", [4, 5, 6])
def test_the_cost_is_read_from_the_hash(cost):
    assert hash_password(Secret("Milvus"), cost).cost == cost


_SAME_TO_BCRYPT = [
    ("x", "x\0x"),
    ("secret", "secret\0secret"),
    ("secret", "secret\0secret\0secret"),
    ("", "\0" * 6),
    ("", "\0" * 71),
    ("é\0", "é\0\0é\0"),
]


@pytest.mark.parametrize(("first", "second"), _SAME_TO_BCRYPT)
def test_bcrypt_takes_a_repetition_after_nul_for_the_same(first, second):
    """The reason for the rules below."""
    assert bcrypt.checkpw(second.encode(), bcrypt.hashpw(first.encode(), bcrypt.gensalt(4)))
    assert bcrypt.checkpw(first.encode(), bcrypt.hashpw(second.encode(), bcrypt.gensalt(4)))


@pytest.mark.parametrize(("first", "second"), _SAME_TO_BCRYPT)
def test_no_password_with_nul_matches_a_plain_hash(first, second):
    for stored in map(plain_bcrypt, (first.encode(), second.encode())):
        assert not matches(second, stored)
        assert matches(first, stored) == (first != "" and "\0" not in first)


@pytest.mark.parametrize(
    "password", ["\0" * 6, "secret\0", "\0secret", "sec\0ret", "é" * 99 + "\0"]
)
def test_a_new_password_with_nul_is_refused(password):
    with pytest.raises(InvalidParameterError, match="NUL") as refusal:
        PasswordPolicy().check(Secret(password))
    assert "sec" not in refusal.value.message


def test_a_long_password_with_nul_that_was_set_before_matches_by_its_exact_text():
    """SHA-256 tells it from every other text."""
    long = "long\0" * 20
    stored = hash_password(Secret(long), 4)
    assert stored.scheme is PasswordScheme.BCRYPT_SHA256
    assert matches(long, stored)
    for other in (long[:-1], long + "\0", long.replace("\0", ""), "long", ""):
        assert not matches(other, stored)


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "Milvus",
        "$2a$10$",
        f"$2a$10${BODY[:-1]}",
        f"$2a$10${BODY}x",
        f"$2a$10${BODY}\n",
        f" $2a$10${BODY}",
        f"$2x$10${BODY}",
        f"$2$10${BODY}",
        f"$1$10${BODY}",
        f"$2a$3$${BODY}",
        f"$2a$03${BODY}",
        # Hours of a thread that cannot be stopped: all users together have only a few.
        f"$2a$17${BODY}",
        f"$2a$31${BODY}",
        f"$2a$32${BODY}",
        f"$2a$99${BODY}",
        f"$2a$-4${BODY}",
        f"$2a$\u0661\u0660${BODY}",
        f"$2a$10${BODY[:-1]}é",
        f"$2a$10${BODY[:-1]}=",
        # The last character of a salt carries two bits; bcrypt refuses any others.
        f"$2a$10${BODY[:21]}f{BODY[22:]}",
    ],
)
def test_what_is_no_bcrypt_hash_is_refused_without_being_quoted(malformed):
    with pytest.raises(ValueError) as refusal:
        PasswordHash(Secret(malformed))
    assert str(refusal.value) == "not a bcrypt hash"


def test_hashes_are_not_printed():
    stored = hash_password(Secret("Milvus"), 4)
    assert stored.encrypted.reveal() not in f"{stored!r} {stored}"


@settings(max_examples=30, deadline=None)
@given(_TEXTS, _TEXTS)
def test_only_the_very_same_password_matches(right, other):
    stored = hash_password(Secret(right), 4)
    assert matches(right, stored)
    assert matches(other, stored) == (other == right)


@settings(max_examples=100, deadline=None)
@given(st.text("./" + string.ascii_letters + string.digits, min_size=53, max_size=53))
def test_whatever_is_taken_for_a_hash_can_be_checked_against(body):
    try:
        stored = PasswordHash(Secret(f"$2a$04${body}"))
    except ValueError:
        return
    assert not matches("Milvus", stored)


@settings(max_examples=30, deadline=None)
@given(
    st.binary(min_size=60, max_size=72).map(lambda octets: octets.replace(b"\0", b"n")),
    st.text(max_size=4),
)
def test_no_suffix_beyond_72_bytes_is_ignored(octets, suffix):
    password = octets.decode("latin-1")
    stored = hash_password(Secret(password), 4)
    assert matches(password + suffix, stored) == (suffix == "")
