import pytest

from vecguard.proxy.authorization.decision import can_be_collection


@pytest.mark.parametrize(
    ("name", "expected"),
    [("books", True), ("_b1", True), ("", False), ("a.b", False), ("*", False), ("a/b", False)],
)
def test_a_collection_has_a_name_without_special_characters(name, expected):
    assert can_be_collection(name) is expected
