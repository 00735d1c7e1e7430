"""Writes docs/configuration.md from the typed settings, or with --check compares it."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from vecguard.config import settings_catalogue

TARGET = Path(__file__).with_name("configuration.md")
INTRODUCTION = """\
# Every setting

Generated from the typed settings by `make docs`. A setting comes from the YAML file given by
`--config` (dots are nesting), and an environment variable overrides it: `proxy.port` is
`VECGUARD__PROXY__PORT`. The two underscores keep clear of what Kubernetes sets for a Service
named `vecguard-proxy`. Lists may be written as comma-separated text.

All text values, including passwords, follow one rule, whether they come from the YAML file, from
environment variables or from the file of `common.security.defaultRootPasswordFile`: they are
UTF-8; a leading byte order mark and all trailing line breaks are removed; any other control
character or line break is an error that names the setting. Blanks are kept: they are part of a
password or path.

| key | default | expected | meaning |
| --- | --- | --- | --- |
"""


def page() -> str:
    """The page as it should be."""
    rows = (
        f"| `{key.dotted}` | {_shown(key.default, secret=key.secret)} "
        f"| {_cell(key.expected)} | {_cell(key.description)} |\n"
        for key in settings_catalogue().keys.values()
    )
    return INTRODUCTION + "".join(rows)


def _shown(value: object, *, secret: bool) -> str:
    if secret:
        return "(secret)"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value is None:
        return "unset"
    if isinstance(value, Iterable) and not isinstance(value, str):
        value = ", ".join(map(str, value))
    return f"`{value}`" if value != "" else "empty"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Writes the page; with --check fails when the committed one is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        TARGET.write_text(page())
    elif not TARGET.is_file() or TARGET.read_text() != page():
        sys.exit(f"{TARGET.name} is stale, run `make docs`")


if __name__ == "__main__":
    main()
