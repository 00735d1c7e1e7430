import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.generated.milvus.proto.milvus import PrivilegeEntity, PrivilegeGroupInfo
from vecguard.milvus_layout import CorruptRecordError, Keys
from vecguard.milvus_layout.role_records import (
    Grantee,
    grantee_id,
    group_members,
    group_value,
    is_name,
    role_description,
    role_value,
)

names = st.text("abcxyz_019$*", min_size=1, max_size=8)


def test_keys_are_those_of_milvus():
    keys = Keys.of("by-dev", "meta")
    assert keys.credential == "by-dev/meta/root-coord/credential/"
    assert keys.role("r") == "by-dev/meta/root-coord/credential/roles/r"
    assert keys.mapping("bob", "r") == "by-dev/meta/root-coord/credential/user-role-mapping/bob/r"
    assert keys.grantee("r/Global/*.*") == (
        "by-dev/meta/root-coord/credential/grantee-privileges/r/Global/*.*"
    )
    assert keys.grantees_of("r") == keys.grantee("r/")
    assert keys.grants_of("0f") == "by-dev/meta/root-coord/credential/grantee-id/0f/"
    assert keys.group("g") == "by-dev/meta/root-coord/privilege-group/g"


def test_an_id_is_the_md5_of_the_key_below_the_root():
    grantee = Grantee("r", "Collection", "shop", "books")
    logical = b"root-coord/credential/grantee-privileges/r/Collection/shop.books"
    assert grantee.id == hashlib.md5(logical).hexdigest()


@given(names, names, names, names)
def test_a_grantee_is_read_as_it_is_written(role, object_type, database, name):
    grantee = Grantee(role, object_type, database, name)
    assert Grantee.of_key(grantee.key) == grantee
    assert grantee.keys[-1] == grantee.key


def test_an_old_key_means_the_default_database():
    grantee = Grantee.of_key("r/Collection/books")
    assert grantee == Grantee("r", "Collection", "default", "books")
    assert grantee.keys == ("r/Collection/books", "r/Collection/default.books")
    assert Grantee("r", "Collection", "shop", "books").keys == ("r/Collection/shop.books",)


def test_an_object_with_a_dot_has_no_old_key():
    """Read back, the part before its dot would be a database."""
    grantee = Grantee("r", "Collection", "default", "a.b")
    assert grantee.keys == ("r/Collection/default.a.b",)
    assert Grantee.of_key(grantee.key) == grantee


@pytest.mark.parametrize(
    "key", ["", "r", "r/t", "r/t/", "r//x", "/t/x", "r/t/x/y", "r/t/.x", "r/t/x."]
)
def test_other_keys_are_corrupt(key):
    with pytest.raises(CorruptRecordError):
        Grantee.of_key(key)


@pytest.mark.parametrize("value", [b"0123456789abcdef", b"0123456789abcdef" * 2])
def test_old_and_new_ids_are_read(value):
    assert grantee_id(value) == value.decode()


@pytest.mark.parametrize(
    "value", [b"", b"x" * 32, b"0" * 15, b"0" * 31, b"../" * 5 + b"0", b"\xff", b"A" * 16]
)
def test_another_value_is_no_id(value):
    with pytest.raises(CorruptRecordError):
        grantee_id(value)


@given(st.text(max_size=20))
def test_a_description_is_read_as_it_is_written(text):
    assert role_description(role_value(text)) == text.encode(errors="replace").decode()


def test_a_role_without_a_description_has_an_empty_value():
    assert role_value("") == b""
    assert role_description(b"{}") == ""
    assert json.loads(role_value("x")) == {"description": "x"}


@pytest.mark.parametrize("value", [b"x", b"[]", b"\xff", b'{"description": 1}', b"[" * 10_000])
def test_a_role_with_another_value_is_corrupt(value):
    with pytest.raises(CorruptRecordError):
        role_description(value)


def test_a_lone_surrogate_becomes_a_character_that_a_message_can_carry():
    role_description(b'{"description": "\\ud800"}').encode()


def test_a_group_is_read_as_it_is_written_and_each_member_once():
    assert group_members(group_value("g", ("Search", "Query", "Search"))) == ("Search", "Query")
    assert group_members(b"") == ()


def test_stored_names_of_privileges_are_read_and_nothing_else_is_changed():
    value = bytes(
        PrivilegeGroupInfo(
            privileges=[
                PrivilegeEntity(name=name)
                for name in ("PrivilegeSearch", "Search", "PrivilegeOfMine", "Inner", "")
            ]
        )
    )
    assert group_members(value) == ("Search", "PrivilegeOfMine", "Inner")


@given(st.binary(max_size=40))
def test_any_value_of_a_group_is_read_or_corrupt(value):
    try:
        members = group_members(value)
    except CorruptRecordError:
        return
    assert all(isinstance(member, str) for member in members)


@pytest.mark.parametrize("name", ["a", "a.b", "*", "with space", "é", "x" * 255])
def test_what_can_be_a_part_of_a_key(name):
    assert is_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0", "a\n", "x" * 256, "\ud800"])
def test_what_cannot_be_a_part_of_a_key(name):
    assert not is_name(name)
