import re
from itertools import pairwise

import pytest

from tests.support.program_here import run_here
from tests.unit.services.cli.command_tree import commands, is_group, options
from vecguard.cli import __main__ as entry
from vecguard.cli.__main__ import main

COMMANDS = commands()


def helped(name, *, option="--help", columns=80):
    environment = {"COLUMNS": str(columns), "TERM": "dumb"}
    ended = run_here(main, ["vecguard", *name.split(), option], environment=environment)
    assert (ended.code, ended.err) == (0, "")
    return ended.out


def test_the_program_has_the_commands_that_are_tested_here():
    assert {"user create", "role explain", "certs renew", "status", "root reset"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_fits_80_columns(name):
    shown = helped(name)
    assert max(map(len, shown.splitlines())) < 80
    assert not re.search(r"\[\[\w+\]\]|<\w+( range)?>|<=|\{[A-Z]|\bBOOLEAN\b|[│╭]|\.{4}", shown)
    assert "[DATABASE.]COLLECTION" in shown or "[[" not in shown
    for each in options(COMMANDS[name]):
        assert re.search(rf"(^|\W){each}\b", shown), each


@pytest.mark.parametrize("name", COMMANDS)
def test_h_is_help(name):
    assert helped(name, option="-h") == helped(name)


@pytest.mark.parametrize("name", [name for name, each in COMMANDS.items() if is_group(each)])
def test_a_group_says_what_each_command_does_in_whole_sentences(name):
    shown = " ".join(helped(name).split())
    for each, command in COMMANDS[name].commands.items():
        assert f" {each} {command.help.partition(chr(10) * 2)[0]}" in shown


def test_no_option_is_without_a_text():
    for name, command in COMMANDS.items():
        assert [each.name for each in command.params if not getattr(each, "help", "")] == [], name


def test_the_program_has_the_same_name_however_it_is_started():
    # As `python -m vecguard.cli` does.
    ended = run_here(main, [entry.__file__, "-h"], environment={})
    assert ended.out.startswith("Usage: vecguard [OPTIONS] COMMAND")


def test_the_usage_line_says_what_may_be_left_out():
    assert helped("user create").startswith("Usage: vecguard user create [OPTIONS] NAME\n")
    assert helped("user passwd").startswith("Usage: vecguard user passwd [OPTIONS] [NAME]\n")
    grant = "Usage: vecguard role grant [OPTIONS] ROLE PRIVILEGE [DATABASE.]COLLECTION\n"
    assert helped("role grant").startswith(grant)


def test_an_option_has_its_value_default_and_variable():
    shown = " ".join(helped("user list").split())
    assert "--timeout SECONDS How long to wait for the answer. [default: 30;" in shown
    assert "-o, --output table|json For people or programs. [default: table]" in shown
    assert "variable: VECGUARD_ADDRESS]" in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_a_paragraph_is_wrapped_only_where_the_line_is_full(name):
    description = helped(name).partition("\n\n")[2]
    for paragraph in re.split(r"\n\n", re.split(r"\n\n\w+:\n", description)[0]):
        lines = paragraph.splitlines()
        for line, following in pairwise(lines):
            assert len(f"{line} {following.split()[0]}") > 78, line
