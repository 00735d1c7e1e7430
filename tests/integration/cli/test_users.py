import base64
import os

import pytest

from tests.integration.cli.command import at_terminal, vecguard, vecguard_process, written
from tests.integration.cli.installation import ROOT_PASSWORD, Installation

# The output of the stack is read on this loop.
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_user_is_created_described_listed_and_deleted(installation: Installation):
    password = "correct horse battery"
    file = written(installation.directory, "new", password)
    created = await vecguard_process(
        *("user", "create", "alice", "--new-password-file", file),
        *("--description", "of the search team"),
        *installation.as_root(),
    )
    assert created.code == 0, created.all
    assert "created user alice" in created.out
    assert await installation.logs_in("alice", password, proxy=1)

    described = await vecguard_process("user", "describe", "alice", *installation.as_root())
    assert described.code == 0, described.all
    for word in ("alice", "none", "of the search team"):
        assert word in described.out

    listed = await vecguard_process("user", "list", *installation.as_root())
    assert {"alice", "root"} <= set(listed.out.split())

    deleted = await vecguard_process("user", "delete", "alice", *installation.as_root())
    assert deleted.code == 0, deleted.all
    assert deleted.out == "✓ deleted user alice\n"
    assert not await installation.logs_in("alice", password)
    again = await vecguard_process("user", "describe", "alice", *installation.as_root())
    assert again.code == 1
    assert "there is no user alice" in again.err
    installation.require_hidden(created, password)


async def test_every_command_speaks_json(installation: Installation):
    file = written(installation.directory, "new", "first password")
    root = (*installation.as_root(), "-o", "json")
    created = await vecguard("user", "create", "jason", "--new-password-file", file, *root)
    assert created.json == {"ok": True, "username": "jason"}
    described = await vecguard("user", "describe", "jason", *root)
    assert described.json == {
        "ok": True,
        "username": "jason",
        "roles": [],
        "description": "",
    }
    listed = await vecguard("user", "list", *root)
    assert listed.json["ok"]
    assert listed.json["users"] == sorted(listed.json["users"])
    assert "jason" in listed.json["users"]
    changed = await vecguard("user", "passwd", "jason", "--new-password-file", file, *root)
    assert changed.json == {"ok": True, "username": "jason"}
    deleted = await vecguard("user", "delete", "jason", *root)
    assert deleted.json == {"ok": True, "username": "jason", "deleted": True}
    absent = await vecguard("user", "delete", "jason", *root)
    assert absent.code == 0
    assert absent.json == {"ok": True, "username": "jason", "deleted": False}
    missing = await vecguard("user", "describe", "jason", *root)
    assert missing.code == 1
    assert missing.json == {
        "ok": False,
        "error": "there is no user jason",
        "reason": "user_not_found",
    }
    assert missing.err == ""


async def test_a_deletion_of_an_unknown_user_does_not_look_like_one(installation: Installation):
    ended = await vecguard("user", "delete", "alcie", *installation.as_root())
    assert ended.code == 0, ended.all
    assert ended.out == "no user alcie: nothing to delete\n"


async def test_a_change_is_no_failure_where_its_report_cannot_be_written(
    installation: Installation,
):
    file = written(installation.directory, "new", "first password")
    latin = await vecguard_process(
        *("user", "create", "mute", "--new-password-file", file, *installation.as_root()),
        PYTHONIOENCODING="latin-1",
    )
    assert (latin.code, latin.out, latin.err) == (0, "+ created user mute\n", "")
    file = written(installation.directory, "new", "second password")
    reading, closed_pipe = os.pipe()
    os.close(reading)
    piped = await vecguard_process(
        *("user", "passwd", "mute", "--new-password-file", file, *installation.as_root()),
        stdout=closed_pipe,
    )
    os.close(closed_pipe)
    assert (piped.code, piped.err) == (0, "")
    assert await installation.logs_in("mute", "second password")
    full_disk = os.open("/dev/full", os.O_WRONLY)
    unwritten = await vecguard_process(
        "user", "delete", "mute", *installation.as_root(), "-o", "json", stdout=full_disk
    )
    os.close(full_disk)
    assert unwritten.code == 0
    assert unwritten.err == (
        "✗ the change is made, but standard output cannot be written: No space left on device\n"
    )
    assert not await installation.logs_in("mute", "second password")


async def test_a_rule_that_is_broken_is_told_in_the_servers_words(installation: Installation):
    file = written(installation.directory, "new", "long enough")
    taken = await vecguard(
        "user", "create", "root", "--new-password-file", file, *installation.as_root()
    )
    assert taken.code == 1
    assert "user already exists: root" in taken.err
    short = written(installation.directory, "short", "tiny")
    refused = await vecguard(
        "user", "create", "bob", "--new-password-file", short, *installation.as_root()
    )
    assert refused.code == 1
    assert "invalid password length" in refused.err


async def test_programs_can_tell_refusals_apart(installation: Installation):
    root = installation.as_root()
    good = written(installation.directory, "good", "long enough")
    short = written(installation.directory, "short", "tiny")
    for reason, words in {
        "user_exists": ("user", "create", "root", "--new-password-file", good),
        "bad_name": ("user", "create", "1st", "--new-password-file", good),
        "password_too_short": ("user", "create", "bob", "--new-password-file", short),
        "user_not_found": ("user", "passwd", "absent", "--new-password-file", good),
        "root_protected": ("user", "delete", "root"),
        "role_not_found": ("user", "roles", "root", "--add", "absent"),
        "role_protected": ("role", "drop", "admin"),
        "role_exists": ("role", "create", "admin"),
        "privilege_not_found": ("role", "grant", "public", "Serach", "books"),
        "group_not_found": ("group", "add", "absent", "Search"),
    }.items():
        ended = await vecguard(*words, *root, "-o", "json")
        assert (ended.code, ended.json["reason"]) == (1, reason), ended.all


async def test_a_wrong_password_is_one_sentence_and_exit_code_4(installation: Installation):
    wrong = "surely not this one"
    ended = await vecguard_process("user", "list", *installation.as_user("root", wrong))
    assert ended.code == 4
    assert ended.out == ""
    assert ended.err.count("\n") == 1
    assert "the login of root is refused" in ended.err
    installation.require_hidden(ended, wrong)


async def test_a_user_without_rights_gets_exit_code_4(installation: Installation):
    name = await installation.user("a plain person")
    ended = await vecguard("user", "list", *installation.as_user(name, "a plain person"))
    assert ended.code == 4
    assert "permission deny" in ended.err
    own = await vecguard("user", "describe", *installation.as_user(name, "a plain person"))
    assert own.code == 0, own.all


async def test_an_unreachable_proxy_is_one_sentence_and_exit_code_3(installation: Installation):
    ended = await vecguard_process(
        "user", "list", *installation.as_user("root", ROOT_PASSWORD, "127.0.0.1:1")
    )
    assert ended.code == 3
    assert ended.err == "✗ 127.0.0.1:1 cannot be reached: Connection refused\n"


async def test_both_passwords_can_come_from_standard_input(installation: Installation):
    name = await installation.user("the old one!")
    changed = await vecguard_process(
        *("user", "passwd", "--address", installation.address, "--user", name),
        *("--password-file", "-", "--new-password-file", "-"),
        stdin="the old one!\nthe new one!\n",
    )
    assert changed.code == 0, changed.all
    for proxy in (0, 1):
        assert await installation.logs_in(name, "the new one!", proxy)
        assert not await installation.logs_in(name, "the old one!", proxy)
    installation.require_hidden(changed, "the old one!", "the new one!")


async def test_root_changes_a_password_without_the_old_one(installation: Installation):
    name = await installation.user("forgotten by now")
    file = written(installation.directory, "new", "remembered again")
    changed = await vecguard(
        "user", "passwd", name, "--new-password-file", file, *installation.as_root()
    )
    assert changed.code == 0, changed.all
    assert await installation.logs_in(name, "remembered again")


async def test_prompts_show_no_password(installation: Installation):
    name = await installation.user("typed at first")
    changed = await at_terminal(
        ("user", "passwd", "--address", installation.address, "--user", name),
        [
            (f"Password of {name}: ", "typed at first"),
            (f"New password of {name}: ", "typed at last ü"),
            (f"New password of {name}, again: ", "typed at last ü"),
        ],
    )
    assert changed.code == 0, changed.all
    assert "changed the password" in changed.out
    assert await installation.logs_in(name, "typed at last ü")
    installation.require_hidden(changed, "typed at first", "typed at last ü")


async def test_prompts_that_differ_change_nothing(installation: Installation):
    name = await installation.user("as it was before")
    ended = await at_terminal(
        ("user", "passwd", "--address", installation.address, "--user", name),
        [
            (f"Password of {name}: ", "as it was before"),
            (f"New password of {name}: ", "one of the two"),
            (f"New password of {name}, again: ", "other of the two"),
        ],
    )
    assert ended.code == 2
    assert "the two passwords differ" in ended.err
    assert await installation.logs_in(name, "as it was before")
    installation.require_hidden(ended, "as it was before", "one of the two", "other of the two")


async def test_without_a_terminal_and_a_file_nothing_waits_for_a_password(
    installation: Installation,
):
    ended = await vecguard_process("user", "list", "--address", installation.address)
    assert ended.code == 2
    assert "--password-file" in ended.err


async def test_a_password_cannot_be_an_argument_or_a_variable(installation: Installation):
    argument = await vecguard_process("user", "list", "--password", ROOT_PASSWORD)
    assert argument.code == 2
    assert "No such option" in argument.err
    variable = await vecguard_process(
        "user", "list", "--address", installation.address, VECGUARD_PASSWORD=ROOT_PASSWORD
    )
    assert variable.code == 2
    assert ROOT_PASSWORD not in variable.all


async def test_connection_options_can_come_from_the_environment(installation: Installation):
    file = written(installation.directory, "root", ROOT_PASSWORD)
    ended = await vecguard(
        "user", "list", VECGUARD_ADDRESS=installation.address, VECGUARD_PASSWORD_FILE=str(file)
    )
    assert ended.code == 0, ended.all


async def test_login_says_ok_with_the_roles(installation: Installation):
    ended = await vecguard("login", *installation.as_root(), "-o", "json")
    assert ended.code == 0, ended.all
    assert ended.json == {
        "ok": True,
        "username": "root",
        "roles": [],
        "anybody": False,
    }


async def test_login_of_a_plain_user_is_accepted_as_well(installation: Installation):
    name = await installation.user("plain and simple")
    ended = await vecguard("login", *installation.as_user(name, "plain and simple"))
    assert ended.code == 0, ended.all
    assert f"accepts the login of {name}" in ended.out


async def test_login_says_why_not_with_exit_code_1(installation: Installation):
    ended = await vecguard_process(
        "login", *installation.as_user("nobody", "whatever it is"), "-o", "json"
    )
    assert ended.code == 1
    assert ended.json["reason"] == "login_refused"
    assert "check username and password" in ended.json["error"]
    encoded = base64.b64encode(b"nobody:whatever it is").decode()
    installation.require_hidden(ended, "whatever it is", encoded)


async def test_root_resets_a_password_and_an_old_password_that_is_given_is_checked(
    installation: Installation,
):
    name = await installation.user("first-password")
    passwd = ("user", "passwd", name, *installation.as_root())
    new = written(installation.directory, "new", "second-password")

    wrong = written(installation.directory, "wrong", "not-the-first")
    refused = await vecguard(*passwd, "--new-password-file", new, "--old-password-file", wrong)
    assert refused.code == 1
    assert f"old password not correct for {name}" in refused.err
    assert await installation.logs_in(name, "first-password")

    reset = await vecguard(*passwd, "--new-password-file", new)
    assert reset.code == 0, reset.all
    assert await installation.logs_in(name, "second-password")
