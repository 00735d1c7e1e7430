import json

import pytest

from vecguard.config import Settings
from vecguard.errors import ConfigurationError
from vecguard.root_coord.built_in_roles import built_in_roles, initial_roles
from vecguard.root_coord.store.role_interface import Grant

SEARCH = {"object_type": "Collection", "object_name": "*", "privilege": "Search", "db_name": "*"}


def with_roles(roles, **settings):
    text = roles if isinstance(roles, str) else json.dumps(roles)
    return Settings(builtin_roles={"enable": True, "roles": text}, **settings)


def test_admin_and_public_are_always_there():
    roles = initial_roles(Settings())
    assert roles["admin"] == ()
    assert roles["public"] == (
        Grant("Global", "*", "*", "PrivilegeDescribeCollection", "root"),
        Grant("Global", "*", "*", "PrivilegeListAliases", "root"),
        Grant("Collection", "*", "*", "PrivilegeIndexDetail", "root"),
    )
    assert list(roles) == ["admin", "public"]


@pytest.mark.parametrize(
    ("settings", "given"),
    [
        ({"common": {"security": {"enable_public_privilege": False}}}, False),
        ({"proxy": {"enable_public_privilege": False}}, False),
        ({"proxy": {"enable_public_privilege": True}}, True),
        (
            {
                "common": {"security": {"enable_public_privilege": False}},
                "proxy": {"enable_public_privilege": True},
            },
            False,
        ),
    ],
)
def test_the_grants_of_public_can_be_switched_off_in_both_spellings(settings, given):
    assert bool(initial_roles(Settings(**settings))["public"]) is given


def test_roles_of_the_configuration_are_read():
    roles = built_in_roles(
        with_roles(
            {
                "db_ro": {
                    "privileges": [
                        SEARCH,
                        {"object_type": "Global", "object_name": "*", "privilege": "*"},
                        {**SEARCH, "privilege": "ReadOnly", "db_name": "shop"},
                        {**SEARCH, "object_type": "Global", "privilege": "DatabaseReadOnly"},
                    ]
                },
                "empty": {"privileges": []},
            }
        )
    )
    assert roles == {
        "db_ro": (
            Grant("Collection", "*", "*", "PrivilegeSearch", "root"),
            Grant("Global", "default", "*", "*", "root"),
            Grant("Collection", "shop", "*", "PrivilegeGroupReadOnly", "root"),
            Grant("Global", "*", "*", "PrivilegeGroupDatabaseReadOnly", "root"),
        ),
        "empty": (),
    }


def test_they_are_not_read_while_they_are_switched_off():
    assert built_in_roles(Settings(builtin_roles={"roles": "not JSON"})) == {}
    assert built_in_roles(with_roles("")) == {}


@pytest.mark.parametrize(
    ("roles", "complaint"),
    [
        ("not JSON", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ([], "must be a JSON object"),
        ({"admin": {"privileges": []}}, "'admin' cannot be the name"),
        ({"a/b": {"privileges": []}}, "'a/b' cannot be the name"),
        ({"r": []}, 'must be an object with a list "privileges"'),
        ({"r": {"privileges": ["Search"]}}, 'must be an object with a list "privileges"'),
        ({"r": {"privileges": [{**SEARCH, "x": ""}]}}, "unknown field 'x'"),
        ({"r": {"privileges": [{"object_type": "Global"}]}}, "has no 'object_name'"),
        ({"r": {"privileges": [{**SEARCH, "privilege": 1}]}}, "must be strings"),
        ({"r": {"privileges": [{**SEARCH, "object_type": "Table"}]}}, "'Table' is not one of"),
        ({"r": {"privileges": [{**SEARCH, "privilege": "Fly"}]}}, "no privilege 'Fly'"),
        ({"r": {"privileges": [{**SEARCH, "privilege": "UpdateUser"}]}}, "no privilege"),
        ({"r": {"privileges": [{**SEARCH, "db_name": "a.b"}]}}, "cannot be a name"),
        ({"r": {"privileges": [{**SEARCH, "object_name": ""}]}}, "cannot be a name"),
    ],
)
def test_what_is_wrong_with_them_is_said(roles, complaint):
    with pytest.raises(ConfigurationError, match=r"builtinRoles\.roles") as refusal:
        built_in_roles(with_roles(roles))
    assert complaint in refusal.value.message
