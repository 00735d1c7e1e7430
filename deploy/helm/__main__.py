"""Writes the generated files of the chart, or with --check compares them."""

import argparse
import sys
from pathlib import Path

from deploy.helm import alerts, readme, schema


def _files() -> dict[Path, str]:
    return {
        schema.TARGET: schema.text(),
        readme.TARGET: readme.text(),
        alerts.CHART_TARGET: alerts.copied(),
        alerts.KUSTOMIZE_TARGET: alerts.rule(),
    }


def main() -> None:
    """Writes the files; with --check fails when a committed one is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check: bool = parser.parse_args().check
    for path, text in _files().items():
        if not check:
            path.write_text(text)
        elif not path.is_file() or path.read_text() != text:
            sys.exit(f"{path} is stale, run `make docs`")


if __name__ == "__main__":
    main()
