import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from vecguard.observability.redaction import is_secret_name, redact
from vecguard.secret import Secret


def masked(**event):
    return redact(None, "info", event)


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Password",
        "old_password",
        "encryptedPassword",
        "encrypted_password",
        "token",
        "x-auth-token",
        "authorization",
        "hash",
        "password_hash",
        "api_key",
        "client_secret",
    ],
)
def test_a_value_of_a_secret_name_is_masked(name):
    assert is_secret_name(name)
    assert masked(**{name: "hunter2"}) == {name: "<redacted>"}


@pytest.mark.parametrize("name", ["user", "max_password_length", "key", "hashes_per_second"])
def test_other_names_are_left_alone(name):
    assert masked(**{name: "x"}) == {name: "x"}


def test_a_secret_is_masked_under_any_name():
    assert masked(event=Secret("x"), a=Secret(b"x"), b=[Secret("x")]) == {
        "event": "<redacted>",
        "a": "<redacted>",
        "b": ["<redacted>"],
    }


@pytest.mark.parametrize("nothing", [None, "", b""])
def test_that_a_secret_is_missing_can_be_seen(nothing):
    assert masked(password=nothing) == {"password": nothing}


def test_grpc_metadata_is_masked_in_either_shape():
    pairs = [("authorization", "hunter2"), ("dbname", "x")]
    expected = {"authorization": "<redacted>", "dbname": "x"}
    assert masked(metadata=pairs)["metadata"] == list(expected.items())
    assert masked(metadata=dict(pairs))["metadata"] == expected
    assert masked(metadata=MultiDict(pairs))["metadata"] == expected


NESTED = st.recursive(
    st.just("hunter2"),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=2),
        st.tuples(inner, inner, inner),
        st.dictionaries(st.sampled_from(["a", "b"]), inner, min_size=1),
    ),
    max_leaves=4,
)


@given(NESTED)
def test_nothing_below_a_secret_name_is_shown(value):
    assert "hunter2" not in repr(masked(request={"token": value}))
