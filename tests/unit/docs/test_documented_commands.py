"""The program takes every command of the pages, and a test runs it or a reason says why not."""

import re
import shlex

import pytest

from tests.support.documented_commands import CHECKOUT, COVERED, FOLLOWED, PAGES, Section, rule_of
from tests.support.documented_steps import blocks, commands
from tests.unit.services.cli import command_tree

COMMANDS = command_tree.commands()
LEAVES = [name for name, each in COMMANDS.items() if not command_tree.is_group(each)]
SECTIONS = [section for sections in FOLLOWED.values() for section in sections]
EVERY = {
    (block, command) for page in PAGES for block in blocks(page) for command in commands(block)
}
RUN = {
    (block, command)
    for section in SECTIONS
    for block in section.blocks()
    for command in commands(block)
    if section.runs(command)
}
OTHERS = {command.text for _, command in EVERY - RUN}
# Commands within a sentence or a table, which may leave out arguments.
MENTIONED = sorted(
    {
        " ".join(found.split())
        for page in PAGES
        for found in re.findall(r"(?<!`)`(?:\.venv/bin/)?(vecguard [a-z][^`]*)`", page.read_text())
    }
)


def own() -> list[str]:
    """Returns the commands of `vecguard`."""
    return sorted({each.text for _, each in EVERY if each.text.startswith("vecguard ")})


@pytest.mark.parametrize("command", own())
def test_the_program_takes_its_commands(command: str):
    words = shlex.split(command)[1:]
    name = max((each for each in LEAVES if " ".join(words).startswith(each)), key=len)
    COMMANDS[name].make_context(name, words[len(name.split()) :])


@pytest.mark.parametrize("command", MENTIONED)
def test_the_program_has_a_mentioned_command_and_its_options(command: str):
    words = shlex.split(command)[1:]
    name = max((each for each in COMMANDS if f"{' '.join(words)} ".startswith(f"{each} ")), key=len)
    rest = words[len(name.split()) :]
    # Behind a group there can be a placeholder, or nothing.
    assert not (command_tree.is_group(COMMANDS[name]) and rest and rest[0].islower())
    options = {each.split("=")[0] for each in words if each.startswith("-") and len(each) > 1}
    assert options <= command_tree.options(COMMANDS[name]) | {"-h", "--help", "-o", "--output"}


def test_every_command_is_run_as_written_or_excused():
    assert sorted(each for each in OTHERS if rule_of(each) is None) == []


@pytest.mark.parametrize("section", SECTIONS, ids=lambda each: f"{each.page} {each.heading}")
def test_a_followed_section_has_what_it_leaves_out(section: Section):
    found = [command.text for block in section.blocks() for command in commands(block)]
    assert found
    for beginning in section.left_out:
        assert any(text.startswith(beginning) for text in found)


def test_no_rule_is_left_over():
    used = {rule_of(command) for command in OTHERS}
    assert sorted(set(COVERED) - used) == []


@pytest.mark.parametrize("named", sorted({each for each in COVERED.values() if "/" in each}))
def test_a_named_test_exists(named: str):
    path, _, function = named.partition("::")
    assert f"def {function}" in (CHECKOUT / path).read_text()
