"""The Makefile's targets, with a Python that installs nothing."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
CI_RUN = CHECKOUT / ".ci" / "run"
#: In the place of npm, which would install packages.
FAKE_NPM = "#!/bin/sh\n"
#: Notes how it is called. As `python -m venv [--clear] DIR` it makes DIR/bin/python a copy, and
#: DIR/bin/coverage.
FAKE_PYTHON = """\
#!/bin/sh
echo "$@" >>"$CALLS"
[ "$1 $2" = "-m venv" ] || exit 0
for last in "$@"; do :; done
mkdir -p "$last/bin" && cp "$0" "$last/bin/python" && cp "$0" "$last/bin/coverage"
"""


class Checkout:
    """A directory with the Makefile, and what it runs."""

    def __init__(self, directory: Path, calls: Path) -> None:
        self.directory = directory
        self._calls = calls

    def make(self, *arguments: str, **variables: str) -> list[str]:
        """Run make; the calls of Python that it made."""
        self._calls.write_text("")
        subprocess.run(
            ("make", f"PYTHON={self._calls.with_name('python')}", *arguments),
            cwd=self.directory,
            env={
                "PATH": f"{self._calls.parent}:{os.environ['PATH']}",
                "CALLS": str(self._calls),
                **variables,
            },
            check=True,
            capture_output=True,
            timeout=30,
        )
        return self._calls.read_text().splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    for name, script in (("python", FAKE_PYTHON), ("npm", FAKE_NPM)):
        program = tmp_path / name
        program.write_text(script)
        program.chmod(0o755)
    directory = tmp_path / "first place"
    directory.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(CHECKOUT / name, directory)
    return Checkout(directory, tmp_path / "calls")


def venv_calls(calls: list[str]) -> list[str]:
    return [call for call in calls if call.startswith("-m venv")]


def pytest_calls(calls: list[str]) -> list[str]:
    return [call for call in calls if call.startswith("-m pytest ")]


def test_environments_are_made_once(checkout: Checkout):
    assert venv_calls(checkout.make("test")) == ["-m venv .venv", "-m venv .venv-pymilvus2"]
    assert pytest_calls(checkout.make("test")) == checkout.make("test") != []


def test_environments_of_a_checkout_that_was_moved_are_made_again(checkout: Checkout):
    checkout.make("test")
    checkout.directory = checkout.directory.rename(checkout.directory.with_name("first"))

    assert venv_calls(checkout.make("test")) == [
        "-m venv --clear .venv",
        "-m venv --clear .venv-pymilvus2",
    ]
    assert venv_calls(checkout.make("test")) == []


def test_every_test_is_part_of_one_tier(checkout: Checkout):
    checkout.make("test")

    [short] = checkout.make("test", "PYTEST_ARGS=tests/e2e -x")
    [unit] = checkout.make("test-unit")
    [long] = checkout.make("test-long", "PYTEST_ARGS=-x")
    [alone] = checkout.make("test-alone", "PYTEST_ARGS=-x")
    assert short.endswith(" -m not (long or alone or peer) tests/e2e -x")
    assert unit.endswith(" tests/unit")
    assert long.endswith(" -m long -x")
    assert alone.endswith(" -m alone -x")


def test_ci_runs_the_commands_of_the_readme_and_measures_the_unit_tests(checkout: Checkout):
    checkout.make("test")
    lines = CI_RUN.read_text().splitlines()
    targets = [shlex.split(line)[1:] for line in lines if line.startswith("make ")]
    # `make coverage` runs all of tests/unit.
    others = ["test", "PYTEST_ARGS=--ignore=tests/unit"]
    compiled = ["test-compiled", "PYTEST_ARGS=--numprocesses auto --dist loadfile"]
    check = ["--jobs", "2", "--output-sync=target", "check", "setup-tests"]
    assert targets == [check, ["coverage"], others, ["test-long"], ["test-alone"], compiled]

    [unit] = pytest_calls(checkout.make("coverage"))
    assert unit.endswith(" --cov --cov-report= tests/unit")


def test_clean_keeps_data_and_distclean_does_not(checkout: Checkout):
    checkout.make("setup")
    collection = checkout.directory / "data" / "milvus-lite"
    collection.mkdir(parents=True)

    checkout.make("clean")
    assert collection.exists()
    assert not (checkout.directory / ".venv").exists()

    checkout.make("distclean")
    assert not collection.exists()


def test_run_serves_the_database_that_it_is_given(checkout: Checkout):
    checkout.make("setup")

    assert checkout.make("run", "DATA=my own.db") == ["-m deploy.local --backend-data my own.db"]
    assert checkout.make("run", DATA="/of/another/program") == ["-m deploy.local"]
    assert checkout.make("run", "DATA=") == ["-m deploy.local"]


def test_a_value_with_blanks_and_quotes_is_one_argument(checkout: Checkout):
    checkout.make("setup")

    assert checkout.make("run", "DATA=it's  mine.db") == [
        "-m deploy.local --backend-data it's  mine.db"
    ]
    assert checkout.make("load", "URL=db:1", "USER=o'hara", "PASSWORD_FILE=my  password") == [
        "-m tests.load --url db:1 --user o'hara --password-file my  password"
    ]
    assert checkout.make("load", "USER=") == ["-m tests.load"]
