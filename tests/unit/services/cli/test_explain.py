import re
from pathlib import Path

import grpclib
import pytest
from grpclib.const import Status
from grpclib.testing import ChannelFor
from pymilvus import MilvusClient

from vecguard.cli.connection import Login
from vecguard.cli.exit_codes import NegativeError, NotAllowedError, UsageError
from vecguard.cli.explain import ask, commands, request_of, sentence
from vecguard.cli.method_names import _OTHERS, ABOUT_USERS_AND_ROLES, rpc_of
from vecguard.cli.public_calls import LoginRefusedError, UnknownMethodError
from vecguard.generated.vecguard import v1 as pb
from vecguard.secret import Secret

SEARCH = pb.ExplainRequest(username="alice", method="Search", objects=["books"])


def refused(*grants, roles=("reader",)):
    return pb.ExplainReply(
        reason=pb.Reason.NOT_GRANTED,
        roles=list(roles),
        privilege=grants[0].privilege,
        object_type=grants[0].object_type,
        database=grants[0].database,
        objects=[grant.object for grant in grants],
        smallest_grants=list(grants),
    )


def search(database="sales", name="books"):
    return pb.Grant("Collection", database, name, "Search")


@pytest.mark.parametrize(
    ("function", "rpc"),
    [
        ("search", "Search"),
        ("hybrid_search", "HybridSearch"),
        ("create_collection", "CreateCollection"),
        ("get", "Query"),
        ("list_indexes", "DescribeIndex"),
        ("Search", "Search"),
        ("RestoreRBAC", "RestoreRBAC"),
        ("/odd", "/odd"),
    ],
)
def test_functions_have_an_rpc_and_rpcs_stay(function, rpc):
    assert rpc_of(function) == rpc


def test_every_translated_function_is_one_of_pymilvus():
    assert [name for name in _OTHERS if not hasattr(MilvusClient, name)] == []


def test_every_function_on_the_page_about_roles_can_be_explained():
    from vecguard.proxy.authorization import methods  # noqa: PLC0415 - the other side

    paths = (*methods.METHODS, *methods.OPEN, *methods.ADMIN_ONLY)
    rpcs = {path.decode().rpartition("/")[2] for path in paths}
    page = (Path(__file__).parents[4] / "docs" / "roles.md").read_text()
    table = page.partition("### What pymilvus calls need")[2].partition("\n### ")[0]
    calls = " ".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE))
    functions = [name for name in re.findall(r"`(\w+)`", calls) if hasattr(MilvusClient, name)]
    assert len(functions) > 60
    assert [name for name in functions if rpc_of(name) not in rpcs] == []


def test_what_is_about_users_or_roles_is_what_the_proxy_says():
    from vecguard.proxy.authorization.methods import METHODS  # noqa: PLC0415 - the other side

    named = {need.method for need in METHODS.values() if need.object_type == "User" and need.name}
    roles = {need.method for need in METHODS.values() if need.own_role}
    assert named | roles == ABOUT_USERS_AND_ROLES


@pytest.mark.parametrize(
    ("arguments", "database", "objects"),
    [
        (("search", ["books"], None), "", ["books"]),
        (("search", ["sales.books"], None), "sales", ["books"]),
        (("use_database", ["sales"], None), "sales", []),
        (("use_database", ["sales"], "sales"), "sales", []),
        (("DescribeDatabase", [], "sales"), "sales", []),
        (("search", ["books"], "sales"), "sales", ["books"]),
        (("search", ["sales.books"], "sales"), "sales", ["books"]),
        (("flush", ["sales.a", "sales.b"], None), "sales", ["a", "b"]),
        (("create_collection", [], "sales"), "sales", []),
        (("describe_user", ["john.doe"], None), "", ["john.doe"]),
    ],
)
def test_arguments_become_a_request(arguments, database, objects):
    request = request_of("alice", *arguments)
    assert (request.database, request.objects) == (database, objects)


@pytest.mark.parametrize(
    "arguments",
    [("search", ["a.x", "b.y"], None), ("search", ["a.x"], "b"), ("use_database", ["a"], "b")],
)
def test_objects_of_several_databases_are_refused(arguments):
    with pytest.raises(UsageError, match="one database"):
        request_of("alice", *arguments)


def test_a_command_to_copy_grants_what_is_missing():
    assert commands(SEARCH, refused(search())) == ["vecguard role grant reader Search sales.books"]
    assert commands(SEARCH, refused(search(name="a"), search(name="b"), roles=("x", "y"))) == [
        "vecguard role grant ROLE Search sales.a",
        "vecguard role grant ROLE Search sales.b",
    ]
    assert commands(SEARCH, refused(search(name="*"), roles=())) == [
        "vecguard role grant ROLE Search 'sales.*'",
        "vecguard user roles alice --add ROLE",
    ]
    create = pb.Grant("Global", "sales", "*", "CreateCollection")
    assert commands(SEARCH, refused(create)) == [
        "vecguard role grant reader CreateCollection --database sales"
    ]
    admin = pb.ExplainReply(reason=pb.Reason.ADMIN_NEEDED, roles=["reader"])
    assert commands(SEARCH, admin) == ["vecguard user roles alice --add admin"]
    assert commands(SEARCH, pb.ExplainReply(allowed=True, reason=pb.Reason.OPEN)) == []


def test_the_answer_is_a_sentence():
    assert sentence(SEARCH, refused(search())) == (
        "alice may not call Search on sales.books: none of the roles reader, public allows Search "
        "there"
    )
    allowed = pb.ExplainReply(
        allowed=True,
        reason=pb.Reason.GRANTED,
        privilege="Search",
        object_type="Collection",
        database="sales",
        objects=["books"],
        role="reader",
        grants=[pb.Grant("Collection", "sales", "b*", "CollectionReadOnly")],
    )
    assert sentence(SEARCH, allowed) == (
        "alice may call Search on sales.books: "
        "role reader is granted CollectionReadOnly on sales.b*"
    )
    create = refused(pb.Grant("Global", "sales", "*", "CreateCollection"))
    assert "call Search in database sales: none" in sentence(SEARCH, create)
    everywhere = refused(pb.Grant("Global", "*", "*", "CreateDatabase"))
    assert sentence(SEARCH, everywhere).endswith(
        "may not call Search: none of the roles reader, public allows CreateDatabase"
    )
    everywhere.roles = []
    assert sentence(SEARCH, everywhere).endswith(
        "the only role, public, does not allow CreateDatabase"
    )
    names = pb.ExplainRequest(username="alice", method="ShowCollections")
    assert sentence(names, pb.ExplainReply(allowed=True, reason=pb.Reason.OPEN)) == (
        "alice may call ShowCollections: every login may; the answer has what the user's roles show"
    )
    user = refused(pb.Grant("User", "*", "bob", "SelectUser"))
    assert "call Search on bob: none" in sentence(SEARCH, user)


def test_where_roles_are_not_enforced_the_answer_says_what_will_be_missing():
    answer = refused(search())
    answer.reason, answer.allowed = pb.Reason.NOT_ENFORCED, True
    assert sentence(SEARCH, answer) == (
        "alice may call Search on sales.books: this proxy does not enforce roles; with roles, none "
        "of the roles reader, public allows Search there"
    )
    assert commands(SEARCH, answer) == ["vecguard role grant reader Search sales.books"]
    admin = pb.ExplainReply(allowed=True, reason=pb.Reason.NOT_ENFORCED, role="admin")
    assert sentence(SEARCH, admin).endswith("with roles, only the role admin may")
    assert commands(SEARCH, admin) == ["vecguard user roles alice --add admin"]
    anonymous = pb.ExplainReply(allowed=True, reason=pb.Reason.NOT_ENFORCED)
    assert sentence(SEARCH, anonymous).endswith("this proxy does not enforce roles")
    assert commands(SEARCH, anonymous) == []


def test_roles_of_the_configuration_are_named_with_their_pattern():
    points = pb.ExplainRequest(username="alice", method="/qdrant.Points/Upsert")
    answer = pb.ExplainReply(
        reason=pb.Reason.METHOD_ROLE_NEEDED,
        pattern="/qdrant.Points/*",
        needed_roles=["writer"],
    )
    assert sentence(points, answer) == (
        "alice may not call /qdrant.Points/Upsert: the pattern /qdrant.Points/* of "
        "proxy.methodRoles needs the role writer"
    )
    assert commands(points, answer) == ["vecguard user roles alice --add writer"]
    answer.needed_roles.append("loader")
    assert sentence(points, answer).endswith("needs one of the roles writer, loader")
    assert commands(points, answer) == ["vecguard user roles alice --add ROLE"]
    answer.reason, answer.allowed = pb.Reason.NOT_ENFORCED, True
    assert sentence(points, answer).endswith(
        "with roles, the pattern /qdrant.Points/* of proxy.methodRoles needs one of the roles "
        "writer, loader"
    )
    assert commands(points, answer) == ["vecguard user roles alice --add ROLE"]
    answer.reason, answer.role = pb.Reason.METHOD_ROLE, "loader"
    assert sentence(points, answer) == (
        "alice may call /qdrant.Points/Upsert: role loader may, by the pattern /qdrant.Points/* of "
        "proxy.methodRoles"
    )
    assert commands(points, answer) == []
    answer.reason, answer.role = pb.Reason.ADMIN, ""
    assert commands(points, answer) == []


@pytest.mark.parametrize("reason", pb.Reason)
def test_every_reason_has_words(reason):
    answer = pb.ExplainReply(reason=reason)
    newer = "newer than this command" in sentence(SEARCH, answer)
    assert newer == (reason == pb.Reason.UNSPECIFIED)


class Roles(pb.RolesBase):
    def __init__(self, answer):
        self.answer = answer

    async def explain(self, explain_request):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def asked(answer):
    async with ChannelFor([Roles(answer)]) as channel:
        return await ask(channel, "host:1", Login("alice", Secret("secret")), SEARCH)


async def test_a_refused_question_has_the_servers_words():
    assert await asked(pb.ExplainReply(allowed=True)) == pb.ExplainReply(allowed=True)
    for status in (Status.NOT_FOUND, Status.INVALID_ARGUMENT):
        with pytest.raises(NegativeError, match="there is no user"):
            await asked(grpclib.GRPCError(status, "there is no user bob"))
    with pytest.raises(UnknownMethodError, match=r"host:1 explains no decisions; .* Vecguard"):
        await asked(grpclib.GRPCError(Status.UNIMPLEMENTED))


async def test_a_user_who_may_not_ask_about_others_is_told_who_may():
    with pytest.raises(NotAllowedError) as caught:
        await asked(grpclib.GRPCError(Status.PERMISSION_DENIED, "permission deny to alice"))
    assert caught.value.message == (
        "permission deny to alice; alice may ask about alice, and with the privilege "
        "SelectOwnership about others: log in as root (-u root), or have the privilege granted"
    )
    with pytest.raises(LoginRefusedError) as refused:
        await asked(grpclib.GRPCError(Status.UNAUTHENTICATED, "no"))
    assert "SelectOwnership" not in refused.value.message
