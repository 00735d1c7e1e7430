"""Says of the commands of all pages which test runs them, as written or in its own way."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.documented_steps import Block, Command, blocks

CHECKOUT: Final = Path(__file__).parents[2]
PAGES: Final = [
    *(CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((CHECKOUT / "docs").glob("*.md")),
    CHECKOUT / "tests" / "chaos" / "README.md",
]


@dataclass(frozen=True)
class Section:
    """The part of a page below a heading, or the whole page.

    `left_out` has the beginnings of commands that are not run.
    """

    page: str
    heading: str | None = None
    left_out: tuple[str, ...] = ()

    def blocks(self) -> list[Block]:
        return blocks(CHECKOUT / self.page, self.heading)

    def runs(self, command: Command) -> bool:
        return not command.text.startswith(self.left_out)


#: What tests/e2e/test_documented_steps.py runs as written. The sections of an entry follow one
#: another, as for a reader who leaves everything running.
FOLLOWED: Final = {
    "make run": (
        Section("README.md", "## Try it", left_out=("make test",)),
        Section("docs/index.md", "## Try it"),
        Section("docs/roles.md", "## Tutorial: a reader, a writer, a tenant"),
        Section("docs/roles.md", "## How to"),
    ),
    "one machine": (
        Section("docs/index.md", "## Put it in front of your own backend"),
        Section("docs/cli.md", left_out=("vecguard status -O vecguard-proxy-operations.",)),
        Section("docs/metrics.md"),
    ),
    "mutual TLS": (Section("docs/tls.md"),),
}

_CHART: Final = "tests/deploy/test_chart.py"
_MAKEFILE: Final = "tests/unit/deploy/test_makefile.py"
_UNITS: Final = "tests/deploy/test_systemd.py"
_CLUSTER: Final = "a cluster of Kubernetes, or a registry"
_SYSTEMD: Final = "systemd as the first process, and root"

#: How all other commands begin, and the test that does the same or, without one, what they need.
#: The longest beginning counts.
COVERED: Final = {
    r"\.venv/bin/pip install '\.\[load,local\]'": "tests/load/test_smoke.py",
    r"\.venv/bin/pip install '\.\[peers\]'": "Makefile",
    r"\.venv/bin/pip install pre-commit": "a person who commits",
    r"\.venv/bin/python -m tests\.bench": "half an hour on a quiet machine",
    r"\.venv/bin/python -m tests\.bench\.hot_path": "tests/bench/test_hot_path.py",
    r"\.venv/bin/python -m tests\.load\.capacity": "an hour on a quiet machine",
    r"\.venv/bin/python -m tests\.model": "tests/model/test_revocation_model.py",
    r"\$target/bin/pip|target=|python3 -m venv|build/compiler/|cp -r build/modules|ln ": _UNITS,
    r"install -|chgrp|chmod|touch|env --chdir|/opt/vecguard/bin/|\(set -a": _UNITS,
    r"systemctl|systemd|journalctl": _SYSTEMD,
    r"systemctl --user start podman": "podman of a desktop",
    r"curl .*/readyz": "tests/containers/test_images.py",
    r"docker compose": "tests/containers/test_compose.py",
    r"docker run": "tests/containers/test_images.py",
    r"export (DOCKER_HOST|TESTCONTAINERS)": "tests/containers/conftest.py",
    r"docker push|etcdctl|etcdutl|umask|for (file|member|number) in|members=|done$": _CLUSTER,
    r"helm install": _CHART,
    r"helm (package|push)": _CHART,
    r"helm (upgrade|uninstall)": _CLUSTER,
    r"kubectl apply --kustomize": "tests/deploy/test_documented_overlay.py",
    r"kubectl": _CLUSTER,
    r"make (help|setup|run|test|test-unit|compile|image|load)\b": _MAKEFILE,
    r"pip install '\./vecguard": "tests/deploy/test_package.py",
    r"ssh": "a second machine",
    r"vecguard status .*-operations\.": "tests/deploy/test_workloads.py",
    r"vecguard user passwd --ca": _CLUSTER,
}


def rule_of(command: str) -> str | None:
    """Returns the entry of COVERED for a command."""
    matching = (rule for rule in COVERED if re.match(rule, command))
    return max(matching, key=lambda rule: re.match(rule, command).end(), default=None)
