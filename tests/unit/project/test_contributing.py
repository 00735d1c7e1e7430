"""The files for contributors name what exists."""

import os
import re
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).parents[3]
MAKEFILE = (CHECKOUT / "Makefile").read_text()
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
WORKFLOW = ".github/workflows/ci.yml"
HOOKS = ".pre-commit-config.yaml"
FORMS = sorted((CHECKOUT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PAGES = ("CONTRIBUTING.md", "CODE_OF_CONDUCT.md", ".github/pull_request_template.md")


def parsed(name):
    return yaml.safe_load((CHECKOUT / name).read_text())


def checks():
    return parsed(WORKFLOW)["jobs"]["checks"]


def classified_versions():
    found = (
        re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", classifier)
        for classifier in PROJECT["project"]["classifiers"]
    )
    return [match[1] for match in found if match]


def test_ci_runs_on_the_versions_that_the_package_names():
    assert checks()["strategy"]["matrix"]["python"] == classified_versions()


def test_the_oldest_version_is_the_one_that_is_needed():
    assert PROJECT["project"]["requires-python"] == f">={classified_versions()[0]}"


def test_ci_runs_the_checks_that_guard_main():
    commands = [step["run"] for step in checks()["steps"] if "run" in step]
    assert commands == [".ci/run"]
    assert os.access(CHECKOUT / ".ci" / "run", os.X_OK)


def test_the_hooks_run_the_tools_of_make():
    hooks = [hook for repo in parsed(HOOKS)["repos"] for hook in repo["hooks"]]
    assert [hook["id"] for hook in hooks] == ["ruff-check", "ruff-format", "mypy"]
    for hook in hooks:
        environment, tool = hook["entry"].split()[0].rsplit("/", 1)
        assert environment == ".venv/bin"
        assert f"$(BIN)/{tool}" in MAKEFILE


def test_mypy_is_started_by_changes_of_what_it_reads():
    [pattern] = [
        hook["files"]
        for repo in parsed(HOOKS)["repos"]
        for hook in repo["hooks"]
        if hook["id"] == "mypy"
    ]
    for folder in PROJECT["tool"]["mypy"]["files"]:
        assert re.search(pattern, f"{folder}/module.py")
    assert not re.search(pattern, "tests/module.py")


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_an_issue_form_asks_for_something(form):
    content = yaml.safe_load(form.read_text())
    assert content["name"]
    assert content["description"]
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    names = [field["id"] for field in fields]
    assert names == list(dict.fromkeys(names))
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_there_are_issue_forms():
    assert len(FORMS) == 2


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_targets_of_make(page):
    targets = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
    text = (CHECKOUT / page).read_text()
    named = set(re.findall(r"(?:`|\$ |&& )make ([a-z-]+)", text))
    assert named <= targets


def test_contributing_names_the_tiers_of_tests():
    text = (CHECKOUT / "CONTRIBUTING.md").read_text()
    tiers = ("test-unit", "test", "test-long", "test-alone")
    for command in ("make check", *(f"make {tier}" for tier in tiers), ".ci/run"):
        assert f"| `{command}` |" in text


@pytest.mark.parametrize("page", PAGES)
def test_a_link_leads_to_a_file(page):
    text = (CHECKOUT / page).read_text()
    for link in re.findall(r"\]\(([^)#:]+)", text):
        assert (CHECKOUT / page).parent.joinpath(link).exists(), link


@pytest.mark.parametrize("page", PAGES)
def test_a_path_is_there(page):
    text = (CHECKOUT / page).read_text()
    for path in re.findall(r"`((?:services|shared|tests|deploy|docs|protos)/[\w./]*)`", text):
        assert (CHECKOUT / path).exists(), path


def test_editors_use_the_line_length_of_ruff():
    rules = ConfigParser()
    rules.read_string("[top]\n" + (CHECKOUT / ".editorconfig").read_text())
    assert rules.getint("*.py", "max_line_length") == PROJECT["tool"]["ruff"]["line-length"]
    assert rules.get("Makefile", "indent_style") == "tab"


def test_every_pure_room_that_must_be_covered_is_there():
    rooms = re.search(r"^PURE_ROOMS := (.*?[^\\])$", MAKEFILE, re.MULTILINE | re.DOTALL)[1]
    assert [room for room in rooms.replace("\\", "").split() if not any(CHECKOUT.glob(room))] == []


def test_code_that_no_test_runs_says_why():
    for root in ("services", "shared"):
        for file in (CHECKOUT / root).rglob("*.py"):
            for line in file.read_text().splitlines():
                if "# pragma: no" in line:
                    assert re.search(r"# pragma: no (cover|branch) - \w.{10,}", line), (file, line)
