"""Which roles may call a method, and which paths mean a method that has an entry."""

import pytest

from vecguard.errors import Status
from vecguard.proxy.authorization.errors import RoleNeededError
from vecguard.proxy.authorization.method_roles import MethodRoles, Spellings, key_of, need_of
from vecguard.proxy.authorization.methods import Treatment

SEARCH = "/qdrant.Points/Search"


def refusal(*roles):
    with pytest.raises(RoleNeededError) as caught:
        MethodRoles("/a.B/*", roles).require(SEARCH, "bob", ("other",))
    assert caught.value.status is Status.PERMISSION_DENIED
    return caught.value


@pytest.mark.parametrize("roles", [("reader",), ("a", "writer"), ("admin",)])
def test_one_of_the_roles_or_admin_is_enough(roles):
    MethodRoles("/a.B/*", ("reader", "writer")).require(SEARCH, "bob", roles)


@pytest.mark.parametrize("roles", [(), ("read",), ("readers", "public")])
def test_no_other_role_is(roles):
    with pytest.raises(RoleNeededError):
        MethodRoles("/a.B/*", ("reader", "writer")).require(SEARCH, "bob", roles)


def test_every_user_has_the_role_public():
    assert need_of("/a.B/*", ("writer", "public")) is Treatment.LOGIN
    assert isinstance(need_of("/a.B/*", ("writer",)), MethodRoles)


def test_a_refusal_names_the_method_the_roles_and_the_user():
    assert refusal("reader").message == (
        "/qdrant.Points/Search needs the role reader: permission deny to bob"
    )
    assert refusal("reader", "reader").roles == "reader"
    assert refusal("reader", "writer").message == (
        "/qdrant.Points/Search needs one of the roles reader, writer: permission deny to bob"
    )


def test_a_refusal_does_not_name_many_roles():
    assert refusal("a", "b", "c", "d", "e").roles == "a, b, c and 2 more"


SPELLINGS = Spellings([SEARCH, "/a-b.C_1/*"])


@pytest.mark.parametrize("path", [b"/qdrant.Points/Search", b"/QDRANT.points/SEARCH"])
def test_upper_and_lower_case_do_not_count(path):
    assert SPELLINGS.key(path) == key_of(SEARCH)


@pytest.mark.parametrize(
    "path",
    [
        *(b"/qdrant.Points/Search?", b"/qdrant.Points/Search?x=1", b"/qdrant.Points/Search/"),
        *(b"//qdrant.Points/Search", b"/qdrant.Points//Search", b"/x/../qdrant.Points/Search"),
        *(b"/qdrant.Po%69nts/Search", b"/QDRANT.Po%49nts/Search#", b"/qdrant.Points%2FSearch"),
        *(b"/qdrant.Points/Se%61rch", b"/qdrant.Points\\Search", b"/qdrant.Points/Search;x"),
        *(b"/qdrant.Points", b"/a-b.c_1/*", b"/qdrant.Points/" + b"x" * 200),
    ],
)
def test_another_spelling_of_a_service_has_no_key_and_is_noticed(path):
    assert SPELLINGS.key(path) is None
    assert SPELLINGS.is_disguised(path)


@pytest.mark.parametrize("path", [b"/other.Service/Method?", b"/", b"/x", b"/caf\xc3\xa9/M"])
def test_what_means_no_such_service_is_left_alone(path):
    assert SPELLINGS.key(path) is None
    assert not SPELLINGS.is_disguised(path)


def test_without_entries_nothing_is_noticed():
    assert not Spellings([]).is_disguised(b"/qdrant.Points/Search?")
