import pytest

from tests.integration.cli.command import vecguard, vecguard_process
from tests.integration.cli.installation import Installation

# The output of the stack is read on this loop.
pytestmark = pytest.mark.asyncio(loop_scope="session")

PASSWORD = "a fine password"


async def json_of(*arguments):
    """What a command that succeeds answers, without `ok`."""
    ended = await vecguard(*arguments, "-o", "json")
    assert ended.code == 0, ended.all
    answer = ended.json
    assert answer.pop("ok") is True
    return answer


async def test_a_role_is_created_granted_given_described_and_dropped(installation: Installation):
    root = installation.as_root()
    alice = await installation.user(PASSWORD)
    as_alice = installation.as_user(alice, PASSWORD)
    created = await vecguard_process("role", "create", "reader", "--description", "of books", *root)
    assert created.code == 0, created.all
    assert created.out == "✓ created role reader\n"
    granted = await vecguard("role", "grant", "reader", "CollectionReadOnly", "sales.books", *root)
    assert granted.out == "✓ granted CollectionReadOnly on sales.books to role reader\n"
    given = await vecguard("user", "roles", alice, "--add", "reader", *root)
    assert given.out == f"✓ user {alice} has the role reader\n"

    described = await vecguard("role", "describe", "reader", *root)
    for words in ("of books", alice, "CollectionReadOnly", "sales", "books", "root"):
        assert words in described.out, described.all
    own = await vecguard("user", "roles", *as_alice)
    assert "reader" in own.out.split()
    seen = await json_of("role", "describe", "reader", *as_alice)
    assert (seen["description"], seen["users"]) == (None, None)
    assert [grant["privilege"] for grant in seen["grants"]] == ["CollectionReadOnly"]

    full = await vecguard("role", "drop", "reader", *root)
    assert full.code == 1
    assert "privileges" in full.err
    dropped = await vecguard("role", "drop", "reader", "--force", *root)
    assert dropped.out == "✓ dropped role reader\n"
    again = await vecguard("role", "drop", "reader", *root)
    assert (again.code, again.out) == (0, "no role reader: nothing to drop\n")
    missing = await vecguard("role", "describe", "reader", *root)
    assert missing.code == 1
    assert "reader" in missing.err


async def test_every_command_about_roles_speaks_json(installation: Installation):
    root = installation.as_root()
    bob = await installation.user(PASSWORD)
    assert await json_of("role", "create", "writer", *root) == {"role": "writer"}
    assert await json_of("role", "alter", "writer", "--description", "x", *root) == {
        "role": "writer"
    }
    names = (await json_of("role", "list", *root))["roles"]
    assert {"admin", "public", "writer"} <= set(names)
    assert names == sorted(names)
    scope = {"role": "writer", "privilege": "Insert", "database": "default", "collection": "books"}
    arguments = ("writer", "Insert", "books", *root)
    assert await json_of("role", "grant", *arguments) == scope
    assert await json_of("user", "roles", bob, "--add", "writer", *root) == {
        "username": bob,
        "added": ["writer"],
        "removed": [],
    }
    assert (await json_of("user", "roles", bob, *root))["roles"] == ["writer"]
    assert await json_of("role", "describe", "writer", *root) == {
        "role": "writer",
        "description": "x",
        "users": [bob],
        "grants": [
            {
                "privilege": "Insert",
                "database": "default",
                "object": "books",
                "object_type": "Collection",
                "grantor": "root",
            }
        ],
    }
    assert await json_of("role", "revoke", *arguments) == {**scope, "revoked": True}
    assert await json_of("role", "revoke", *arguments) == {**scope, "revoked": False}
    taken = await json_of("user", "roles", bob, "--remove", "writer", *root)
    assert taken["removed"] == ["writer"]
    assert await json_of("role", "drop", "writer", *root) == {"role": "writer", "dropped": True}
    assert await json_of("role", "drop", "writer", *root) == {"role": "writer", "dropped": False}


async def test_groups_of_privileges_are_managed(installation: Installation):
    root = installation.as_root()
    assert await json_of("group", "create", "Seekers", *root) == {"group": "Seekers"}
    members = ["Search", "Query"]
    assert await json_of("group", "add", "Seekers", *members, *root) == {
        "group": "Seekers",
        "privileges": members,
    }
    removed = await vecguard("group", "remove", "Seekers", "Query", *root)
    assert removed.out == "✓ group Seekers no longer has Query\n"
    groups = (await json_of("group", "list", *root))["groups"]
    assert {"name": "Seekers", "privileges": ["Search"], "built_in": False} in groups
    assert {group["name"] for group in groups if group["built_in"]} >= {"CollectionReadOnly"}
    assert "Seekers: Search\n" in (await vecguard("group", "list", *root)).out
    assert await json_of("role", "create", "seeker", *root) == {"role": "seeker"}
    await json_of("role", "grant", "seeker", "Seekers", "*", *root)
    used = await vecguard("group", "drop", "Seekers", *root)
    assert used.code == 1
    assert "seeker" in used.err
    await json_of("role", "drop", "seeker", "--force", *root)
    dropped = {"group": "Seekers", "dropped": True}
    assert await json_of("group", "drop", "Seekers", *root) == dropped
    assert (await json_of("group", "drop", "Seekers", *root))["dropped"] is False


async def test_refusals_have_their_exit_codes(installation: Installation):
    root = installation.as_root()
    carol = await installation.user(PASSWORD)
    as_carol = installation.as_user(carol, PASSWORD)
    for arguments, code, words in (
        (("role", "create", "mine", *as_carol), 4, "PrivilegeCreateOwnership"),
        (("role", "list", *as_carol), 4, "PrivilegeSelectOwnership"),
        (("user", "roles", carol, "--add", "admin", *as_carol), 4, "PrivilegeManageOwnership"),
        (("role", "create", "admin", *root), 1, "already exists"),
        (("role", "drop", "admin", *root), 1, "default role"),
        (("role", "grant", "nobodys", "Search", "*", *root), 1, "nobodys"),
        (("role", "grant", "public", "Serach", "*", *root), 1, "Serach"),
        (("user", "roles", carol, "--add", "nobodys", *root), 1, "not found the role"),
        (("group", "add", "Nobodys", "Search", *root), 1, "Nobodys"),
        (("role", "grant", "public", "Search", *root), 2, "say on which collection"),
    ):
        ended = await vecguard(*arguments)
        assert ended.code == code, (arguments, ended.all)
        assert words in ended.err


async def test_a_decision_is_explained_and_the_command_to_copy_helps(installation: Installation):
    root = installation.as_root()
    dora = await installation.user(PASSWORD)
    as_dora = installation.as_user(dora, PASSWORD)
    await json_of("role", "create", "finder", *root)
    await json_of("user", "roles", dora, "--add", "finder", *root)
    question = ("role", "explain", dora, "search", "sales.books")
    refused = await vecguard(*question, *as_dora, "-o", "json")
    assert refused.code == 1
    answer = refused.json
    assert (answer["ok"], answer["allowed"], answer["reason"]) == (False, False, "not_granted")
    (command,) = answer["commands"]
    assert command == "vecguard role grant finder Search sales.books"
    granted = await vecguard(*command.split()[1:], *root)
    assert granted.code == 0, granted.all

    allowed = await vecguard_process(*question, *as_dora)
    assert allowed.code == 0, allowed.all
    assert allowed.out == (
        f"✓ {dora} may call Search on sales.books: role finder is granted Search on sales.books\n"
    )
    # The other proxy answers the same, and root may ask about others.
    other = installation.stack.proxies[1].address
    seen = await json_of(*question, *installation.as_user(dora, PASSWORD, other))
    assert (seen["role"], seen["database"], seen["objects"]) == ("finder", "sales", ["books"])
    assert (await vecguard(*question, *root)).code == 0
    films = await vecguard("role", "explain", dora, "search", "films", *root)
    assert films.code == 1
    assert "-> vecguard role grant finder Search default.films" in films.out

    for arguments, code, words in (
        ((dora, "Serach", "films", *as_dora), 1, "no method Serach"),
        ((dora, "search", *as_dora), 1, "needs the name"),
        (("root", "search", "films", *as_dora), 4, "PrivilegeSelectOwnership"),
        (("nobody", "search", "films", *root), 1, "there is no user nobody"),
        ((dora, "flush", "a.x", "b.y", *as_dora), 2, "one database"),
    ):
        ended = await vecguard("role", "explain", *arguments)
        assert ended.code == code, (arguments, ended.all)
        assert words in ended.err
    await json_of("role", "drop", "finder", "--force", *root)
