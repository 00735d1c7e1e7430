import pytest

from vecguard.privileges.catalogue import PRIVILEGES, V1_GROUPS, Catalogue
from vecguard.privileges.stored_names import api_name, stored_group, stored_privilege


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("Search", "PrivilegeSearch"),
        ("All", "PrivilegeAll"),
        ("ReadOnly", "PrivilegeGroupReadOnly"),
        ("ReadWrite", "PrivilegeGroupReadWrite"),
        ("Admin", "PrivilegeGroupAdmin"),
        ("CreatePrivilegeGroup", "PrivilegeCreatePrivilegeGroup"),
        ("*", "*"),
    ],
)
def test_a_privilege_is_stored_under_milvus_name(name, stored):
    assert stored_privilege(name) == stored
    assert api_name(stored) == name


@pytest.mark.parametrize("name", ["Readers", "CollectionReadOnly", "PrivilegeGroup", "Group"])
def test_a_group_is_stored_under_a_prefix_of_its_own(name):
    assert stored_group(name) == "PrivilegeGroup" + name
    assert api_name(stored_group(name)) == name


def test_every_name_comes_back():
    for name in (*PRIVILEGES, *V1_GROUPS, "All"):
        assert api_name(stored_privilege(name)) == name
    for name in Catalogue().groups:
        assert api_name(stored_group(name)) == name


def test_no_privilege_is_stored_like_a_group():
    for name in PRIVILEGES:
        assert not stored_privilege(name).startswith("PrivilegeGroup")


def test_a_name_without_prefix_stays():
    assert api_name("Search") == "Search"
