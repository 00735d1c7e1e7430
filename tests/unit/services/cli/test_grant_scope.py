import pytest

from vecguard.cli.exit_codes import UsageError
from vecguard.cli.grant_scope import GivenScope, GrantScope, arguments_of, scope_of


def scope(privilege, target=None, database=None, collection=None, *, revoke=False):
    return scope_of(privilege, GivenScope.of(target, database, collection), revoke=revoke)


@pytest.mark.parametrize(
    ("privilege", "given", "expected"),
    [
        ("Search", {"target": "books"}, "default.books"),
        ("Search", {"target": "sales.books"}, "sales.books"),
        ("Search", {"target": "books", "database": "sales"}, "sales.books"),
        ("Search", {"collection": "books", "database": "sales"}, "sales.books"),
        ("Search", {"target": "*"}, "default.*"),
        ("CollectionReadOnly", {"target": "*.*"}, "*.*"),
        ("CreateCollection", {}, "default.*"),
        ("CreateCollection", {"database": "sales"}, "sales.*"),
        ("DatabaseAdmin", {"target": "sales.*"}, "sales.*"),
        ("DescribeCollection", {"database": "sales"}, "sales.*"),
        ("CreateDatabase", {}, "*.*"),
        ("ClusterReadOnly", {"target": "*.*"}, "*.*"),
        ("SelectUser", {}, "*.*"),
        ("SelectUser", {"collection": "bob"}, "*.bob"),
        # Of Milvus before 2.5, custom, and every privilege.
        ("ReadOnly", {"target": "books"}, "default.books"),
        ("Readers", {"target": "sales.*"}, "sales.*"),
        ("*", {"target": "*.*"}, "*.*"),
    ],
)
def test_what_is_not_given_follows_from_the_level(privilege, given, expected):
    assert scope(privilege, **given) == GrantScope(*expected.split("."))
    assert str(scope(privilege, **given)) == expected


@pytest.mark.parametrize("privilege", ["Search", "CollectionReadOnly", "ReadOnly", "Readers", "*"])
@pytest.mark.parametrize("revoke", [False, True])
def test_a_collection_is_never_guessed(privilege, revoke):
    with pytest.raises(UsageError, match="say on which collection"):
        scope(privilege, database="sales", revoke=revoke)


@pytest.mark.parametrize(
    ("privilege", "given", "complaint"),
    [
        ("CreateDatabase", {"database": "sales"}, "whole cluster: leave the database out"),
        ("CreateDatabase", {"collection": "books"}, "whole cluster: leave the collection out"),
        ("SelectUser", {"target": "sales.bob"}, "whole cluster: leave the database out"),
        ("CreateCollection", {"target": "sales"}, "say --database sales and no collection"),
        ("DatabaseAdmin", {"target": "sales.books"}, "say --database sales and no collection"),
        ("DescribeCollection", {"target": "sales.books"}, "holds for a whole database"),
    ],
)
def test_a_grant_for_something_else_is_refused_and_can_be_revoked(privilege, given, complaint):
    with pytest.raises(UsageError, match=complaint):
        scope(privilege, **given)
    scope(privilege, **given, revoke=True)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"target": "a.b", "database": "c"}, "both name a database"),
        ({"target": "a", "collection": "b"}, "both name a collection"),
        ({"target": "a.b.c"}, "more than one dot"),
        ({"target": ""}, "empty"),
        ({"target": ".a"}, "empty"),
        ({"target": "a."}, "empty"),
        ({"database": "", "collection": "a"}, "empty"),
    ],
)
def test_a_part_that_is_empty_or_given_twice_is_refused(given, complaint):
    with pytest.raises(UsageError, match=complaint):
        scope("Search", **given)


@pytest.mark.parametrize(
    ("privilege", "target", "arguments"),
    [
        ("Search", "default.books", ["default.books"]),
        ("Search", "sales.*", ["sales.*"]),
        ("CreateCollection", "default.*", []),
        ("CreateCollection", "sales.*", ["--database", "sales"]),
        ("DescribeCollection", "sales.*", ["--database", "sales"]),
        ("CreateDatabase", "*.*", []),
        ("SelectUser", "*.*", []),
        ("SelectUser", "*.john.doe", ["--collection", "john.doe"]),
        ("Readers", "default.*", ["default.*"]),
    ],
)
def test_arguments_mean_the_scope_that_they_were_made_of(privilege, target, arguments):
    wanted = GrantScope(*target.split(".", 1))
    assert arguments_of(privilege, wanted) == arguments
    options = dict(zip(arguments[::2], arguments[1::2], strict=False))
    given = GivenScope.of(
        arguments[0] if len(arguments) == 1 else None,
        options.get("--database"),
        options.get("--collection"),
    )
    assert scope_of(privilege, given) == wanted
