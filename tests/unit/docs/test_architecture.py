"""The names that docs/architecture.md uses, against the sources."""

import ast
import re
from collections import defaultdict

import pytest

from tests.unit.docs.quoted_texts import CHECKOUT

PAGE = (CHECKOUT / "docs" / "architecture.md").read_text()
SPANS = sorted(set(re.findall(r"`([^`\n]+)`", PAGE)))
PATHS = [span for span in SPANS if re.fullmatch(r"[\w/]+(\.py|/)", span)]
METHODS = [span for span in SPANS if re.fullmatch(r"[A-Z]\w+\.[a-z]\w+", span)]
CLASSES = [span for span in SPANS if re.fullmatch(r"[A-Z][a-z]+\w*", span)]
#: Spans that look like our classes and are none: an RPC.
FOREIGN = {"UpdateCredential"}
#: Modules that the picture draws without their folder.
DRAWN = re.findall(r"\b[a-z_]+\.py\b|\bstore/", PAGE.split("```")[1])


@pytest.fixture(scope="module")
def classes():
    """Each class with the names in its body, and those of its bases of the same tree."""
    names, bases = defaultdict(set), defaultdict(set)
    for root in ("services", "shared"):
        for file in (CHECKOUT / root).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ClassDef):
                    names[node.name].update(
                        each.name
                        for each in node.body
                        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
                    )
                    bases[node.name].update(ast.unparse(base).split("[")[0] for base in node.bases)
    for name in list(names):
        for base in bases[name]:
            names[name] |= names.get(base, set())
    return dict(names)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_there(path):
    places = (CHECKOUT, CHECKOUT / "services" / "vecguard")
    assert any((place / path).exists() for place in places) or is_module(path)


@pytest.mark.parametrize("module", DRAWN)
def test_a_module_of_the_picture_is_there(module):
    assert is_module(module)


def is_module(name):
    return any((CHECKOUT / "services").rglob(name.rstrip("/")))


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in FOREIGN])
def test_a_class_is_there(name, classes):
    assert name in classes


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_there(name, classes):
    owner, method = name.split(".")
    assert method in classes.get(owner, ())


def test_the_page_names_enough_to_be_worth_the_comparison():
    assert len(PATHS) > 10
    assert len(METHODS) > 30
    assert len(CLASSES) > 25
    assert len(DRAWN) > 4
