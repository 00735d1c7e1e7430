import json

import pytest

from vecguard.etcd import KeyValue
from vecguard.milvus_layout import CorruptRecordError, Keys
from vecguard.milvus_layout.collection_changes import CollectionChange, suspended

KEYS = Keys("by-dev/meta")
DROP = CollectionChange("default", "books", collection_id=7, token="t", proxy="p", since=5)
RENAME = CollectionChange("default", "books", "shop", "tomes", None, "t", "p", 5)


def stored(name, value):
    return KeyValue(KEYS.collection_change(*name).encode(), value, 1, 1, 1, 0)


@pytest.mark.parametrize("change", [DROP, RENAME])
def test_a_record_is_read_back(change):
    assert CollectionChange.decode(change.encode()) == change


def test_a_rename_is_about_two_names():
    assert DROP.names == (("default", "books"),)
    assert RENAME.names == (("default", "books"), ("shop", "tomes"))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        *(
            json.dumps({**json.loads(DROP.encode()), **wrong}).encode()
            for wrong in (
                {"name": ""},
                {"name": 3},
                {"collection_id": "7"},
                {"collection_id": True},
                {"since": None},
                {"token": None},
            )
        ),
    ],
)
def test_another_value_is_no_record(value):
    with pytest.raises(CorruptRecordError):
        CollectionChange.decode(value)


def test_the_old_name_is_suspended_and_a_name_whose_record_cannot_be_read():
    kvs = [
        stored(("default", "books"), RENAME.encode()),
        stored(("shop", "tomes"), RENAME.encode()),
        stored(("default", "films"), b"?"),
    ]
    assert suspended(KEYS, kvs) == {("default", "books"), ("default", "films")}


def test_the_keys_are_below_vecguards_own_prefix():
    assert KEYS.collection_change("a", "b") == "by-dev/meta/vecguard/collection-changes/a/b"
