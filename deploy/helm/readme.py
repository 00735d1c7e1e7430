"""README.md of the chart: an introduction, and a table made from the comments of values.yaml."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import yaml

_CHART: Final = Path(__file__).parent / "vecguard"
_VALUES: Final = _CHART / "values.yaml"
TARGET: Final = _CHART / "README.md"
#: In characters; a longer default would make the table hard to read.
_LONGEST: Final = 70
#: A page or file of the repository in a comment.
_MENTION: Final = re.compile(r"\b(?:docs|deploy)/[\w/-]+\.\w+")
_INTRODUCTION: Final = """\
# Vecguard's Helm chart

`make docs` generates this page from the comments of [`values.yaml`](values.yaml).
[Kubernetes](../../../docs/kubernetes.md#with-helm) says how to install the chart.

The chart creates the same objects as [`deploy/kustomize`](../../kustomize): with its defaults the
objects of the overlay `production`, with [`profiles/dev.yaml`](profiles/dev.yaml) the objects of
`dev`. Objects have the same names in every release, so install one release in a namespace and
nothing else: the network policies close the namespace. The namespace itself is not part of the
chart, because Helm stores the release in it.

`values.schema.json` refuses unknown keys and values of the wrong type, also in `config`.
"""


def text() -> str:
    """The page as it should be. Raises ValueError for a value without a comment."""
    source = _VALUES.read_text()
    values = yaml.compose(source)
    if not isinstance(values, yaml.MappingNode):
        raise TypeError("values.yaml is not a mapping")
    parts = [_INTRODUCTION]
    lines = source.splitlines()
    general = [pair for pair in values.value if not _is_section(pair[1], lines)]
    parts += ["\n## For all parts\n\n", *_table(_rows(general, (), lines))]
    for key, node in values.value:
        if (key, node) in general:
            continue
        comment = _comment(key, lines)
        parts += [f"\n## `{key.value}`\n\n", *([comment, "\n\n"] if comment else [])]
        parts += _table(_rows(node.value, (key.value,), lines))
    return "".join(parts)


_Pair = tuple[yaml.Node, yaml.Node]


def _is_section(node: yaml.Node, lines: Sequence[str]) -> bool:
    """Whether the keys of a mapping have comments of their own, on which rows are made."""
    return (
        isinstance(node, yaml.MappingNode)
        and not node.flow_style
        and all(_comment(key, lines) or _is_section(inner, lines) for key, inner in node.value)
    )


def _rows(
    pairs: Sequence[_Pair], path: tuple[str, ...], lines: Sequence[str]
) -> Iterator[tuple[str, str, str]]:
    for key, node in pairs:
        dotted = (*path, str(key.value))
        comment = _comment(key, lines)
        if _is_section(node, lines):
            yield from _rows(node.value, dotted, lines)
        elif not comment:
            raise ValueError(f"{'.'.join(dotted)} has no comment in values.yaml")
        else:
            yield ".".join(dotted), _default(node), comment


def _table(rows: Iterator[tuple[str, str, str]]) -> Iterator[str]:
    yield "| value | default | meaning |\n| --- | --- | --- |\n"
    for path, default, comment in rows:
        linked = _MENTION.sub(r"[\g<0>](../../../\g<0>)", comment)
        cells = (f"`{path}`", default, linked)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _default(node: yaml.Node) -> str:
    value = yaml.safe_load(yaml.serialize(node))
    if value in ("", {}, []):
        return "empty"
    shown = value if isinstance(value, str) else json.dumps(value)
    return f"`{shown}`" if len(shown) <= _LONGEST else "see `values.yaml`"


def _comment(key: yaml.Node, lines: Sequence[str]) -> str:
    """The comment lines directly above a key."""
    found: list[str] = []
    number = key.start_mark.line - 1
    while number >= 0 and lines[number].lstrip().startswith("#"):
        found.insert(0, lines[number].lstrip(" #").rstrip())
        number -= 1
    return " ".join(found)
