import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.credentials import hashed
from vecguard.milvus_layout import CorruptRecordError, Keys, Record
from vecguard.passwords import PasswordHash, PasswordScheme, hash_password
from vecguard.secret import Secret

BCRYPT = hashed("first1")
LONG = hash_password(Secret("x" * 73), 4)


@pytest.mark.parametrize(
    ("root_path", "meta_sub_path", "root"),
    [
        ("by-dev", "meta", "by-dev/meta/"),
        ("by-dev/", "/meta/", "by-dev/meta/"),
        ("/by-dev", "meta", "/by-dev/meta/"),
        ("/", "meta", "/meta/"),
        ("/", "/", "/"),
        ("a/b", "meta", "a/b/meta/"),
        ("a//b", "./meta", "a/b/meta/"),
        ("by-dev", "..", ""),
        (".", "meta", "meta/"),
        ("by-dev", "", "by-dev/"),
        ("", "meta", "meta/"),
        ("", "", ""),
        (" By-Dev ", "meta", " By-Dev /meta/"),
    ],
)
def test_keys_are_those_of_milvus(root_path, meta_sub_path, root):
    keys = Keys.of(root_path, meta_sub_path)
    assert keys.users == f"{root}root-coord/credential/users/"
    assert keys.user("bob") == f"{root}root-coord/credential/users/bob"
    assert keys.roles_of("bob") == f"{root}root-coord/credential/user-role-mapping/bob/"
    assert keys.leader == f"{root}vecguard/root-coord/leader"
    assert keys.leases == f"{root}vecguard/root-coord/leases-granted"


def test_the_roles_of_one_user_are_not_a_prefix_of_another_s():
    keys = Keys("r")
    assert not keys.roles_of("bobby").startswith(keys.roles_of("bob"))


def test_a_new_record_is_what_milvus_writes():
    assert Record.new(BCRYPT, "").encode() == (
        b'{"encrypted_password":"%s"}' % BCRYPT.encrypted.reveal().encode()
    )
    assert json.loads(Record.new(BCRYPT, "a friend").encode()) == {
        "encrypted_password": BCRYPT.encrypted.reveal(),
        "description": "a friend",
    }


def test_a_long_password_is_marked():
    fields = json.loads(Record.new(LONG, "").encode())
    assert fields["password_scheme"] == "bcrypt-sha256"
    assert Record.decode(Record.new(LONG, "").encode()).password == LONG


@pytest.mark.parametrize("password", [BCRYPT, LONG])
def test_the_mark_follows_the_password(password):
    for before in (BCRYPT, LONG):
        record = Record.new(before, "").changed(password, None)
        assert record.password == password
        assert ("password_scheme" in record.fields) == (password is LONG)


def test_a_record_of_milvus_is_understood():
    value = json.dumps(
        {
            "encrypted_password": BCRYPT.encrypted.reveal(),
            "time_tick": 460_000_000_000_000_001,
            "tenant": "",
            "is_super": True,
            "sha256_password": "0" * 64,
        }
    ).encode()
    record = Record.decode(value)
    assert record.password == BCRYPT
    assert record.description == ""


def test_a_new_password_keeps_what_is_unknown_and_drops_the_old_digest():
    record = Record(
        {"encrypted_password": "x", "sha256_password": "0" * 64, "time_tick": 2**63, "x": [1]}
    )
    assert record.changed(BCRYPT, None).fields == {
        "encrypted_password": BCRYPT.encrypted.reveal(),
        "time_tick": 2**63,
        "x": [1],
    }


def test_a_change_leaves_the_record_that_it_began_with():
    record = Record.new(BCRYPT, "old")
    record.changed(LONG, "new")
    assert (record.password, record.description) == (BCRYPT, "old")


def test_a_description_alone_keeps_the_password_and_empties_by_an_empty_text():
    record = Record.new(LONG, "old")
    assert record.changed(None, "new").password == LONG
    assert record.changed(None, "new").description == "new"
    assert "description" not in record.changed(None, "").fields
    assert record.changed(None, None) == record


@pytest.mark.parametrize("value", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"nonsense", b"\0"])
def test_what_is_no_json_is_corrupt(value):
    with pytest.raises(CorruptRecordError):
        Record.decode(value)


@pytest.mark.parametrize("value", [b"[]", b"null", b'"text"', b"1", b"true"])
def test_json_that_is_no_object_is_corrupt(value):
    with pytest.raises(CorruptRecordError):
        Record.decode(value)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"encrypted_password": None},
        {"encrypted_password": 7},
        {"encrypted_password": ["$2a$"]},
        {"encrypted_password": ""},
        {"encrypted_password": "hunter2-marker"},
        {"encrypted_password": "\ud800"},
        {"encrypted_password": BCRYPT.encrypted.reveal(), "password_scheme": "md5"},
        {"encrypted_password": BCRYPT.encrypted.reveal(), "password_scheme": None},
        {"encrypted_password": BCRYPT.encrypted.reveal(), "password_scheme": []},
        {"encrypted_password": BCRYPT.encrypted.reveal(), "password_scheme": {}},
    ],
)
def test_a_record_without_a_usable_hash_is_corrupt_and_not_quoted(fields):
    with pytest.raises(CorruptRecordError) as refusal:
        _ = Record.decode(json.dumps(fields).encode()).password
    assert "hunter2-marker" not in str(refusal.value)
    assert BCRYPT.encrypted.reveal() not in str(refusal.value)


@pytest.mark.parametrize("description", [None, 7, [], {}, True])
def test_a_description_that_is_no_text_is_none(description):
    assert Record({"description": description}).description == ""


def test_a_description_can_always_be_sent():
    """JSON can spell half of a character, which no message can carry."""
    Record.decode(b'{"description":"a\\ud800b"}').description.encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.binary())
def test_no_bytes_raise_anything_but_corruption(value):
    try:
        record = Record.decode(value)
        assert isinstance(record.password, PasswordHash)
        record.description.encode()
    except CorruptRecordError:
        pass


@given(st.dictionaries(st.text() | st.sampled_from(["encrypted_password", "description"]), JSON))
def test_unknown_fields_survive_every_change(fields):
    record = Record.decode(Record(fields).encode()).changed(BCRYPT, "text")
    known = {
        "encrypted_password",
        "password_scheme",
        "password_since",
        "sha256_password",
        "description",
    }
    kept = {name: value for name, value in record.fields.items() if name not in known}
    assert kept == {name: value for name, value in fields.items() if name not in known}
    assert record.password == BCRYPT
    assert Record.decode(record.encode()) == record


@given(st.text(max_size=100))
def test_every_description_comes_back(description):
    record = Record.decode(Record.new(BCRYPT, description).encode())
    assert record.description == description
    assert record.password.scheme is PasswordScheme.BCRYPT


def test_a_password_is_as_old_as_its_record_until_the_record_is_written_again():
    record = Record.new(BCRYPT, "")
    assert record.password_since(7) == 7
    described = record.rewritten(None, "a friend", 7)
    assert (described.description, described.password_since(9)) == ("a friend", 7)
    other = hashed("first1", 5)
    rehashed = Record.decode(described.encode()).rewritten(other, None, 9)
    assert (rehashed.password, rehashed.password_since(11)) == (other, 7)
    changed = rehashed.changed(BCRYPT, None)
    assert changed.password_since(13) == 13
    assert changed.encode() == record.changed(None, "a friend").encode()


@pytest.mark.parametrize(
    "since",
    [
        None,
        7,
        {},
        {"revision": 7},
        {"revision": 7, "hash": "of another"},
        {"revision": "7", "hash": BCRYPT.encrypted.reveal()[:29]},
        {"revision": 0, "hash": BCRYPT.encrypted.reveal()[:29]},
        {"revision": 99, "hash": BCRYPT.encrypted.reveal()[:29]},
    ],
)
def test_what_says_nothing_about_this_password_does_not_count(since):
    fields = {**Record.new(BCRYPT, "").fields, "password_since": since}
    assert Record.decode(Record(fields).encode()).password_since(9) == 9


def test_a_record_without_a_password_has_nothing_to_keep():
    assert Record({}).rewritten(None, "text", 7).fields == {"description": "text"}
