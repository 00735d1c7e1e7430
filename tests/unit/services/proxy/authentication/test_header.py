import base64
import traceback
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vecguard.errors import Status
from vecguard.proxy.authentication.errors import (
    ApiKeyError,
    AuthenticationError,
    MalformedHeaderError,
    MissingHeaderError,
    RevokedError,
    WrongCredentialsError,
)
from vecguard.proxy.authentication.header import claimed_username, parse, single_value
from vecguard.usernames import is_storable

MARKER = "hunter2-marker"


def encoded(text: str) -> bytes:
    return base64.b64encode(text.encode())


@pytest.mark.parametrize(
    ("error", "text", "reason"),
    [
        (MissingHeaderError, "missing authorization in header", "missing_header"),
        (MalformedHeaderError, "invalid token format", "malformed_header"),
        (ApiKeyError, "auth check failure, please check api key is correct", "api_key"),
        (
            WrongCredentialsError,
            "auth check failure, please check username and password are correct",
            "wrong_credentials",
        ),
    ],
)
def test_refusals_have_milvus_texts_and_one_grpc_code(error, text, reason):
    assert error().message == str(error()) == text
    assert error.status is Status.UNAUTHENTICATED
    assert error.reason == reason


def test_a_revoked_call_ends_as_unauthenticated():
    assert RevokedError.status is Status.UNAUTHENTICATED


def test_no_value_is_a_missing_header():
    with pytest.raises(MissingHeaderError):
        single_value([])


def test_one_value_is_taken_as_it_is():
    assert single_value([b"dTpw"]) == b"dTpw"


@pytest.mark.parametrize("values", [[b"a", b"b"], [encoded("u:p")] * 2, [b"", encoded("u:p")]])
def test_several_values_are_refused_even_if_equal(values):
    with pytest.raises(MalformedHeaderError):
        single_value(values)


@pytest.mark.parametrize(
    "value",
    [
        b"a",
        b"dTpw=",
        b"dTpwYQ",
        b"dTpwYQ=",
        b"dTpwYQ===",
        b"dTpwYQ==dTpw",
        b" dTpw",
        b"dTpw ",
        b"dT pw",
        b"dTpw\n",
        b"dTpw\0",
        b"Basic",
        b"Basic\tdTpw",
        b"BasicdTpw",
        b"Basic Basic dTpw",
        b"Bearer dTpw",
        b"Digest dTpw",
        b"root:Milvus",
        "dTpé".encode(),
        b"\xff\xfe",
        b"====",
        base64.b64encode(b"u:\xff"),
        base64.b64encode(b"\xed\xa0\x80:p"),
        base64.urlsafe_b64encode(b"u:\xc3\xbf\xc3\xbf\xc3\xbf?>"),
    ],
)
def test_what_is_no_base64_of_utf8_is_malformed(value):
    with pytest.raises(MalformedHeaderError):
        parse(value)


@pytest.mark.parametrize("scheme", [b"Basic ", b"basic ", b"BASIC ", b"bAsIc    "])
def test_the_scheme_of_http_may_stand_before_it(scheme):
    assert parse(scheme + encoded("u:p:q")) == parse(encoded("u:p:q"))
    assert claimed_username([scheme + encoded("u:p")]) == "u"


def test_the_urlsafe_alphabet_is_another_one():
    text = "user:??>>~~"
    assert base64.urlsafe_b64encode(text.encode()) != encoded(text)
    assert parse(encoded(text)).password.reveal() == "??>>~~"
    with pytest.raises(MalformedHeaderError):
        parse(base64.urlsafe_b64encode(text.encode()))


@pytest.mark.parametrize("text", ["", "apikey", "root", "éé", "a b"])
def test_a_value_without_a_colon_is_an_api_key(text):
    with pytest.raises(ApiKeyError):
        parse(encoded(text))


@pytest.mark.parametrize(
    "username", ["", " root", "root ", "ro ot", "é", "a/b", "\0", "../root", "u" * 256]
)
def test_a_name_that_cannot_exist_is_answered_like_a_wrong_password(username):
    with pytest.raises(WrongCredentialsError):
        parse(encoded(f"{username}:Milvus"))


def test_the_member_back_door_is_an_ordinary_string():
    with pytest.raises(ApiKeyError):
        parse(encoded("@@milvus-member@@"))


@pytest.mark.parametrize("password", ["", ":", "a:b:c", ":::", "pass word", "ünï", "a\0b", "😀:"])
def test_the_password_is_everything_after_the_first_colon(password):
    login = parse(encoded(f"root:{password}"))
    assert (login.username, login.password.reveal()) == ("root", password)


def test_a_huge_value_is_parsed_like_any_other():
    login = parse(encoded("root:" + "x" * 3_000_000))
    assert len(login.password.reveal()) == 3_000_000
    with pytest.raises(MalformedHeaderError):
        parse(b"*" * 3_000_000)


@given(st.binary())
@example(b"")
def test_no_bytes_raise_anything_but_a_refusal(value):
    with suppress(AuthenticationError):
        parse(value)


@given(st.binary())
def test_no_decoded_bytes_raise_anything_but_a_refusal(octets):
    try:
        login = parse(base64.b64encode(octets))
    except AuthenticationError:
        return
    assert f"{login.username}:{login.password.reveal()}".encode() == octets


@given(st.text().filter(is_storable) | st.from_regex(r"[a-zA-Z]\w{0,31}\Z"), st.text())
def test_every_user_and_password_come_through_unchanged(username, password):
    if not is_storable(username):
        return
    login = parse(encoded(f"{username}:{password}"))
    assert (login.username, login.password.reveal()) == (username, password)


@pytest.mark.parametrize(
    "octets",
    [
        f"root:{MARKER}".encode() + b"\xff",
        MARKER.encode(),
        f"r/t:{MARKER}".encode(),
    ],
)
def test_no_refusal_carries_what_was_presented(octets):
    """Not in its text, and not in an error behind it, which a reporter could print."""
    with pytest.raises(AuthenticationError) as refusal:
        parse(base64.b64encode(octets))
    error = refusal.value
    assert error.__cause__ is None
    assert error.__context__ is None
    assert MARKER not in "".join(traceback.format_exception(error))


def test_no_refusal_of_broken_base64_carries_what_was_presented():
    with pytest.raises(MalformedHeaderError) as refusal:
        parse(f"{MARKER}!".encode())
    assert refusal.value.__context__ is None


def test_a_presented_login_does_not_print_its_password():
    assert MARKER not in repr(parse(encoded(f"root:{MARKER}")))
