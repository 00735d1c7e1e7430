"""The program takes every command of the pages, and a test runs it or a reason says why not."""

import re
import shlex
from pathlib import Path

import pytest

from tests.support.documented_steps import blocks, commands
from tests.unit.services.cli import command_tree

CHECKOUT = Path(__file__).parents[3]
PAGES = [
    *(CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((CHECKOUT / "docs").glob("*.md")),
    CHECKOUT / "tests" / "chaos" / "README.md",
]
CHART = "tests/deploy/test_chart.py"
MAKEFILE = "tests/unit/deploy/test_makefile.py"
UNITS = "tests/deploy/test_systemd.py"
CLUSTER = "a cluster of Kubernetes, or a registry"
SYSTEMD = "systemd as the first process, and root"

#: How commands begin, and the test that does the same or, without one, what they need. The
#: longest beginning counts. Commands of `vecguard` need no entry, see below.
COVERED = {
    r"\.venv/bin/pip install '\.\[load,local\]'": "tests/load/test_smoke.py",
    r"\.venv/bin/pip install '\.\[peers\]'": "Makefile",
    r"\.venv/bin/pip install pre-commit": "a person who commits",
    r"\.venv/bin/python -m tests\.bench": "half an hour on a quiet machine",
    r"\.venv/bin/python -m tests\.bench\.hot_path": "tests/bench/test_hot_path.py",
    r"\.venv/bin/python -m tests\.load\.capacity": "an hour on a quiet machine",
    r"\.venv/bin/python -m tests\.model": "tests/model/test_revocation_model.py",
    r"\$target/bin/pip|target=|python3 -m venv|build/compiler/|cp -r build/modules|ln ": UNITS,
    r"install -|chgrp|chmod|touch|env --chdir|/opt/vecguard/bin/": UNITS,
    r"systemctl|systemd|journalctl": SYSTEMD,
    r"systemctl --user start podman": "podman of a desktop",
    r"curl .*/readyz": "tests/containers/test_images.py",
    r"docker compose": "tests/containers/test_compose.py",
    r"docker run": "tests/containers/test_images.py",
    r"export (DOCKER_HOST|TESTCONTAINERS)": "tests/containers/conftest.py",
    r"export VECGUARD__PROXY__METHODROLES": "tests/unit/shared/config/test_method_roles.py",
    r"etcd ": "tests/e2e/test_tls_manual.py",
    r"etcdctl|umask|for file in|done$": CLUSTER,
    r"helm install": CHART,
    r"helm (package|push)": CHART,
    r"kubectl apply --kustomize": "tests/deploy/test_documented_overlay.py",
    r"kubectl": CLUSTER,
    r"make (help|setup|run|test|test-unit|compile|image|load)\b": MAKEFILE,
    r"pip install '\./vecguard": "tests/deploy/test_package.py",
    r"printf ": "tests/integration/cli/test_users.py",
    r"sed ": "tests/deploy/test_prometheus.py",
    r"ssh": "a second machine",
}


COMMANDS = command_tree.commands()
LEAVES = [name for name, each in COMMANDS.items() if not command_tree.is_group(each)]


def all_commands() -> list[str]:
    return sorted(
        {command.text for page in PAGES for block in blocks(page) for command in commands(block)}
    )


def own() -> list[str]:
    """Returns the commands of `vecguard`."""
    return [each for each in all_commands() if each.startswith("vecguard ")]


def rule_of(command: str) -> str | None:
    matching = (rule for rule in COVERED if re.match(rule, command))
    return max(matching, key=lambda rule: re.match(rule, command).end(), default=None)


@pytest.mark.parametrize("command", own())
def test_the_program_takes_its_commands(command: str):
    words = shlex.split(command)[1:]
    name = max((each for each in LEAVES if " ".join(words).startswith(each)), key=len)
    COMMANDS[name].make_context(name, words[len(name.split()) :])


def test_every_other_command_is_run_or_excused():
    others = set(all_commands()) - set(own())
    assert sorted(each for each in others if rule_of(each) is None) == []


def test_no_rule_is_left_over():
    used = {rule_of(command) for command in set(all_commands()) - set(own())}
    assert sorted(set(COVERED) - used) == []


@pytest.mark.parametrize("named", sorted({each for each in COVERED.values() if "/" in each}))
def test_a_named_test_exists(named: str):
    path, _, function = named.partition("::")
    assert f"def {function}" in (CHECKOUT / path).read_text()
