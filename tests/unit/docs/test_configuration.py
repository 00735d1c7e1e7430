"""The files that docs/configuration.md gives to copy."""

import re

import pytest
import yaml

from tests.unit.docs.quoted_texts import CHECKOUT
from vecguard.config import Settings, load_settings, settings_catalogue

DOCS = CHECKOUT / "docs"
EXAMPLE = (DOCS / "vecguard.example.yaml").read_text()
#: Explanations have a blank after the #, settings have none.
UNCOMMENTED = re.sub(r"^( *)#(?! )", r"\1", EXAMPLE, flags=re.MULTILINE)
PAGE = (DOCS / "configuration.md").read_text()
MINIMAL = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def load(tmp_path):
    def load(text: str) -> Settings:
        path = tmp_path / "vecguard.yaml"
        path.write_text(text)
        return load_settings(path, {})

    return load


@pytest.mark.parametrize("text", [EXAMPLE, UNCOMMENTED], ids=["commented", "uncommented"])
def test_the_full_file_means_the_defaults(load, text):
    assert load(text) == Settings()


def test_the_full_file_has_every_setting():
    values = yaml.safe_load(UNCOMMENTED)
    for path in settings_catalogue().keys:
        below = values
        for name in path:
            assert name in below, path
            below = below[name]


def test_the_minimal_file_loads(load):
    assert len(MINIMAL) == 1
    assert load(MINIMAL[0]).backend.address == "localhost:19540"


def test_every_setting_has_a_heading_with_its_variable_below():
    headings = re.findall(
        r"^### `([\w.]+)`$.*?^- Environment variable: `(\w+)`$",
        PAGE,
        re.MULTILINE | re.DOTALL,
    )
    assert sorted(headings) == sorted(
        (key.dotted, key.variable) for key in settings_catalogue().keys.values()
    )
