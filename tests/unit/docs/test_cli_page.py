"""docs/cli.md is compared with the commands themselves."""

import re

import pytest

from tests.unit.docs.quoted_texts import CHECKOUT
from tests.unit.services.cli.command_tree import commands, is_group, options

PAGE = (CHECKOUT / "docs" / "cli.md").read_text()
COMMANDS = commands()
LEAVES = [name for name, each in COMMANDS.items() if not is_group(each)]
#: The options that sections of their own describe.
OF_EVERY_COMMAND = {"-o", "--output"}
CONNECTION = "Connection"

_COMMAND_HEADING = re.compile(r"^### `vecguard ([a-z ]+?)((?: \[?[A-Z\[].*)?)`\n", re.MULTILINE)
_SECTION_END = re.compile(r"^##", re.MULTILINE)


def usage(name):
    """The arguments of a command as its help has them."""
    command = COMMANDS[name]
    return "".join(f" {each}" for each in command.collect_usage_pieces(None)[1:])


def section(heading):
    """The text below a heading, up to the next one."""
    _, found, rest = PAGE.partition(f"\n{heading}\n")
    assert found, heading
    return _SECTION_END.split(rest)[0]


def listed(text):
    """The options in the first column of the tables of a text."""
    rows = re.findall(r"^\| (`-[^|]*) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(-[\w-]+)`", row)}


def of_connection(command):
    return {
        name
        for each in command.params
        if getattr(each, "rich_help_panel", None) == CONNECTION
        for name in each.opts
    }


def test_the_page_has_every_command_with_its_arguments_and_no_other():
    headings = _COMMAND_HEADING.findall(PAGE)
    assert sorted(headings) == sorted((name, usage(name)) for name in LEAVES)


@pytest.mark.parametrize("name", LEAVES)
def test_the_section_of_a_command_has_all_of_its_own_options_and_no_other(name):
    command = COMMANDS[name]
    own = options(command) - of_connection(command) - OF_EVERY_COMMAND
    assert listed(section(f"### `vecguard {name}{usage(name)}`")) == own


def test_the_options_of_a_connection_are_described_once():
    wanted = set().union(*(of_connection(each) for each in COMMANDS.values()))
    assert listed(section("## Connecting")) == wanted


def test_the_options_of_every_command_are_described_once():
    wanted = {"-h", "--help"} | OF_EVERY_COMMAND | options(COMMANDS[""])
    assert listed(section("## Options of every command")) == wanted


def test_every_option_that_the_page_names_exists():
    known = set().union({"-h", "--help"}, *(options(each) for each in COMMANDS.values()))
    assert set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", PAGE)) <= known


def test_every_variable_of_an_option_is_on_the_page():
    wanted = {
        each.envvar for command in COMMANDS.values() for each in command.params if each.envvar
    }
    assert wanted
    assert {each for each in wanted if f"`{each}`" not in PAGE} == set()


def test_every_example_is_a_command():
    for line in re.findall(r"^\$ (?:.* )?vecguard ([^\n]*)", PAGE, re.MULTILINE):
        words = line.split()
        assert any(" ".join(words[:length]) in LEAVES for length in (1, 2)), line


def test_every_command_has_its_json_on_the_page():
    rows = re.findall(r"^\| ((?:`[^|]*`)) \| ", section("## JSON"), re.MULTILINE)
    named = set()
    for row in rows:
        first, *others = re.findall(r"`([^`]+)`", row)
        group = first.rpartition(" ")[0]
        named |= {first, *(f"{group} {each}" for each in others)}
    assert set(LEAVES) <= named
