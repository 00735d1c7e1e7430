import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from tests.support.logs import our_handlers
from tests.support.program_here import run_here
from vecguard.cli import __main__ as command
from vecguard.cli.exit_codes import ExitCode, exit_code_of
from vecguard.cli.output import printable
from vecguard.etcd import EtcdNoSpaceError

COMMAND = str(Path(sys.executable).with_name("vecguard"))


def run(*arguments):
    return CliRunner().invoke(command.app, arguments)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("login", "-a", "no where", "-u", "x"), "not an address"),
        (("login", "-u", "a:b"), "cannot contain a colon"),
        (("login", "-u", ""), "--user is empty"),
        (("login", "--no-login"), "no login to check"),
        (("user", "describe", "--no-login"), "name the user"),
        (("user", "list", "--no-login", "--cert", "/x.pem"), "without a key"),
        (("user", "list", "--no-login", "--key", "/x.key"), "without a certificate"),
        (("user", "list", "--no-login", "--ca", "/no/such.pem"), "does not exist"),
        (("user", "roles", "--no-login"), "name the user"),
        (("role", "grant", "r", "Search", "--no-login"), "say on which collection"),
        (("role", "grant", "r", "FlushAll", "a.b", "--no-login"), "whole cluster"),
        (("role", "revoke", "r", "Search", "a.b.c", "--no-login"), "more than one dot"),
        (("status", "-O", "nowhere:"), "--operations"),
        (("doctor", "-O", "https://nowhere"), "--operations"),
        (("doctor", "-a", "nowhere:x"), "--address"),
        (("user", "list", "-a", "http://h", "--tls"), "http:// means no TLS"),
        (("doctor", "--ca", "/no/such.pem"), "does not exist"),
        (("root", "reset"), "--offline"),
    ],
)
def test_what_cannot_be_used_is_one_json_object_and_exit_code_2(tmp_path, arguments, complaint):
    file = tmp_path / "password"
    file.write_text("a fine password")
    if arguments[0] == "login":
        arguments = (*arguments, "--password-file", str(file))
    result = run(*arguments, "-o", "json")
    assert result.exit_code == ExitCode.USAGE, result.output
    answer = json.loads(result.stdout)
    assert answer["ok"] is False
    assert complaint in answer["error"]


@pytest.mark.parametrize(
    "command_line",
    [
        ("login", "-u", "\udcff"),
        ("user", "delete", "\udcff"),
        ("user", "passwd", "\udcff"),
        ("user", "roles", "bob", "--add", "\udcff"),
        ("role", "drop", "\udcff"),
        ("role", "grant", "r", "Search", "\udcff"),
        ("group", "add", "g", "\udcff"),
    ],
)
def test_a_name_that_is_not_utf8_is_refused(command_line):
    result = run(*command_line)
    assert result.exit_code == ExitCode.USAGE
    assert "it is not UTF-8 text" in result.output


@pytest.mark.parametrize("command_line", [("status",), ("doctor",), ("login",), ("user", "list")])
def test_a_wait_without_an_end_is_refused(command_line):
    result = run(*command_line, "--timeout", "inf")
    assert result.exit_code == ExitCode.USAGE
    assert "--timeout" in result.output


def test_the_version_is_told():
    assert run("--version").output.startswith("vecguard ")


def completion(**variables):
    return run_here(command.main, ["vecguard"], environment=variables)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_installed_for(shell):
    # What `--show-completion` prints for the shell that it finds among its parents.
    shown = completion(_VECGUARD_COMPLETE=f"source_{shell}")
    assert shown.code == 0, shown.err
    assert "_VECGUARD_COMPLETE" in shown.out


def test_names_are_completed():
    completed = completion(
        _VECGUARD_COMPLETE="complete_bash", COMP_WORDS="vecguard user ", COMP_CWORD="2"
    )
    assert {"create", "list", "passwd", "delete", "describe"} <= set(completed.out.split())


def started(*arguments, stdout, encoding="utf-8"):
    return subprocess.run(
        [COMMAND, *arguments],
        env={"PYTHONIOENCODING": encoding, "COLUMNS": "200", "TERM": "dumb"},
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
        text=True,
    )


@pytest.mark.parametrize(
    ("arguments", "code"), [(("--version",), 74), (("status", "-O", "nowhere:", "-o", "json"), 2)]
)
def test_an_answer_that_a_full_disk_loses_is_told_and_changes_no_other_exit_code(arguments, code):
    with Path("/dev/full").open("w") as full:
        ended = started(*arguments, stdout=full)
    assert ended.returncode == code
    assert ended.stderr == "✗ standard output cannot be written: No space left on device\n"


def test_a_reader_that_has_gone_ends_a_command_quietly_as_sigpipe_does():
    reading, writing = os.pipe()
    os.close(reading)
    ended = started("--version", stdout=writing)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_help_and_errors_need_no_utf8(encoding):
    helped = started("user", "--help", stdout=subprocess.PIPE, encoding=encoding)
    assert (helped.returncode, helped.stderr) == (0, "")
    assert helped.stdout.isascii()
    assert "passwd" in helped.stdout
    refused = started("login", "-u", "名:x", stdout=subprocess.PIPE, encoding=encoding)
    assert refused.returncode == 2
    assert refused.stderr.startswith("x --user '\\u540d:x': a user name")


def test_a_bug_is_one_line_without_values(monkeypatch, capsys):
    def broken(**_):
        password = "very secret"
        raise RuntimeError(password)

    monkeypatch.setattr(command, "app", broken)
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == ExitCode.BUG
    shown = capsys.readouterr()
    assert "RuntimeError at" in shown.err
    assert "very secret" not in shown.err + shown.out


def test_an_interrupt_ends_with_its_code(monkeypatch):
    def interrupted(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "app", interrupted)
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == ExitCode.INTERRUPTED


@pytest.mark.parametrize("turn", ["first", "second"])
def test_a_command_leaves_no_logging_behind_for_the_next_test(monkeypatch, turn):
    assert our_handlers() == []
    assert not structlog.is_configured()
    monkeypatch.setattr(command, "app", lambda **_: sys.exit())
    with pytest.raises(SystemExit):
        command.main()
    assert len(our_handlers()) == 1
    assert structlog.is_configured()


def test_text_from_elsewhere_neither_steers_the_terminal_nor_is_markup():
    assert printable("a\x1b[31mb\nc") == "a\\x1b[31mb\\nc"
    assert printable("[red]x[/red]") == "\\[red]x\\[/red]"


@pytest.mark.parametrize("name", ["", "  "])
@pytest.mark.parametrize("deed", ["create", "delete", "passwd"])
def test_an_empty_name_as_of_an_unset_variable_is_refused(deed, name):
    result = run("user", deed, name)
    assert result.exit_code == ExitCode.USAGE
    assert "the name is empty" in result.output


def test_closed_standard_input_is_no_bug():
    ended = subprocess.run(
        [COMMAND, "user", "list"],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        preexec_fn=lambda: os.close(0),
    )
    assert ended.returncode == ExitCode.USAGE, ended.stderr
    assert "no terminal to ask for the password" in ended.stderr


def test_an_etcd_that_is_out_of_space_is_the_same_exit_code_for_every_command():
    assert exit_code_of(EtcdNoSpaceError("full")) == ExitCode.UNREACHABLE


def test_an_interrupt_while_the_modules_are_imported_is_quiet():
    program = subprocess.Popen(
        [sys.executable, "-X", "importtime", COMMAND, "--version"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    shown = ""
    for line in program.stderr:
        shown += line
        if line.rstrip().endswith(" typer"):
            program.send_signal(signal.SIGINT)
            break
    out, err = program.communicate(timeout=30)
    assert program.returncode == -signal.SIGINT
    assert "Traceback" not in shown + err
    assert out == ""
