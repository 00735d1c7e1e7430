"""`proxy.methodRoles`: paths of methods and roles, in the file and in the environment."""

import json
import textwrap

import pytest
import yaml

from vecguard.config import load_settings, render
from vecguard.errors import ConfigurationError

VARIABLE = "VECGUARD__PROXY__METHODROLES"


@pytest.fixture
def load(tmp_path):
    def load(entries="", **environ):
        path = tmp_path / "vecguard.yaml"
        path.write_text("proxy:\n  methodRoles:\n" + textwrap.indent(entries, "    "))
        return load_settings(path if entries else None, environ).proxy.method_roles

    return load


@pytest.fixture
def complaint(load, tmp_path):
    def complaint(entries="", **environ):
        with pytest.raises(ConfigurationError) as caught:
            load(entries, **environ)
        return caught.value.message.replace(f"{tmp_path}/", "")

    return complaint


ENTRIES = """
/qdrant.Points/Search: [reader, writer]
/qdrant.Points/*: writer
/Greeter/Say-Hello_1: a, b
"""
ROLES = {
    "/qdrant.Points/Search": ("reader", "writer"),
    "/qdrant.Points/*": ("writer",),
    "/Greeter/Say-Hello_1": ("a", "b"),
}


def test_there_is_no_entry_at_first(load):
    assert load() == {}


def test_an_entry_has_one_role_or_several(load):
    assert load(ENTRIES) == ROLES


def test_the_environment_has_them_as_json(load):
    assert load("/a.B/*: x", **{VARIABLE: json.dumps(ROLES)}) == ROLES
    assert load("/a.B/*: x", **{VARIABLE: "\n"}) == {}
    assert load(json.dumps(yaml.safe_load(ENTRIES)) + "\n") == ROLES


def test_what_is_printed_loads_again(tmp_path):
    settings = load_settings(None, {VARIABLE: json.dumps(ROLES)})
    path = tmp_path / "printed.yaml"
    path.write_text(render(settings).replace("<redacted>", "Milvus"))
    assert load_settings(path, {}) == settings


@pytest.mark.parametrize(
    "pattern",
    [
        *("qdrant.Points/Search", "/qdrant.Points", "/qdrant.Points/", "//Search", "/*/Search"),
        *("/*/*", "/*", "/", "'*'", "/qdrant.Points/Sea*", "/qdrant.*/Search", "/a/b/c", "/a.B/c?"),
        *("/a.B/c%20", "'/a.B/c d'", "/ä.B/c", '"/a.B/c\\n"', "/a.B/**", f"/a.B/{'c' * 200}"),
    ],
)
def test_other_patterns_are_refused(complaint, pattern):
    text = complaint(f"? {pattern}\n: reader\n")
    assert text.startswith('vecguard.yaml, line 3: proxy.methodRoles["')
    assert "expected the path of a method, /package.Service/Method, or of all methods" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("service", "why"),
    [
        ("milvus.proto.milvus.MilvusService", "grant a role the privilege of the method"),
        ("Milvus.Proto.rootcoord.RootCoord", "grant a role the privilege of the method"),
        ("grpc.health.v1.Health", "the proxy itself decides who may call"),
        ("vecguard.v1.Anything", "the proxy itself decides who may call"),
        ("vecguard.internal.v1.RootCoord", "the proxy itself decides who may call"),
    ],
)
@pytest.mark.parametrize("method", ["Search", "*"])
def test_services_with_a_rule_of_their_own_are_refused(complaint, service, why, method):
    text = complaint(f"/{service}/{method}: reader")
    assert text.startswith(f'vecguard.yaml, line 3: proxy.methodRoles["/{service}/{method}"]: ')
    assert why in text


@pytest.mark.parametrize("pattern", ["/grpc.reflection.v1.ServerReflection/*", "/vecguards.A/b"])
def test_similar_services_are_not(load, pattern):
    assert load(f"{pattern}: reader") == {pattern: ("reader",)}


@pytest.mark.parametrize(
    ("roles", "why"),
    [
        ("'*'", "* is not a role"),
        ("[reader, '*']", "* is not a role"),
        ("[]", "an entry needs a role: remove the entry"),
        ("''", "an entry needs a role: remove the entry"),
        ("','", "an entry needs a role: remove the entry"),
        ("", "expected a role or a list of roles, found nothing"),
        ("5", "expected a role or a list of roles, found 5"),
        ("{a: b}", "expected a role or a list of roles, found a section"),
        ("[5]", "expected the name of a role, found 5"),
        ("['']", 'expected the name of a role, found ""'),
        ("[[a]]", "expected the name of a role, found a list"),
        ('["a\\tb"]', "its value contains a control character"),
    ],
)
def test_what_names_no_role_is_refused(complaint, roles, why):
    assert why in complaint(f"/a.B/C: {roles}")


def test_every_faulty_entry_is_named_with_its_line(complaint):
    text = complaint("/a.B/C: x\n/a.B/D: []\n/a: x\n")
    assert text.startswith("the configuration has 2 problems:")
    assert 'vecguard.yaml, line 4: proxy.methodRoles["/a.B/D"]: ' in text
    assert 'vecguard.yaml, line 5: proxy.methodRoles["/a"]: ' in text


def test_entries_that_mean_the_same_are_refused(complaint):
    assert "/a.B/C and /a.b/c differ only in letter case" in complaint("/a.B/C: x\n/a.b/c: y\n")
    assert "already set in line 3" in complaint("/a.B/C: x\n/a.B/C: y\n")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("reader", "expected JSON such as"),
        ("{", "expected JSON such as"),
        ("[" * 100_000, "expected JSON such as"),
        ('{"/a.B/C": ' + "9" * 5000 + "}", "expected JSON such as"),
        ("[1]", "expected paths of methods, each with a role or a list of roles"),
        ("5", "expected paths of methods, each with a role or a list of roles"),
        ('{"/a.B/C": "x", "/a.B/C": "y"}', "the JSON text contains a name twice"),
        ('{"/a.B/C": ["x\\u0000"]}', "expected the name of a role"),
        ('{"/a.B/C": []}', '"/a.B/C"]: an entry needs a role'),
    ],
)
def test_faulty_text_in_the_environment_is_refused(complaint, text, why):
    message = complaint(**{VARIABLE: text})
    assert message.startswith(f"{VARIABLE}: proxy.methodRoles")
    assert why in message
