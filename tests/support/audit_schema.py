"""Reads the schema from docs/audit.md, and compares lines with it."""

import json
import re
from datetime import datetime
from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs" / "audit.md"
_ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \|")
_KINDS = {
    "text": lambda value: isinstance(value, str) and len(value) <= 255,
    "number": lambda value: type(value) is int and value >= 0,
    "time": lambda value: datetime.fromisoformat(value).utcoffset().total_seconds() == 0,
    "list of texts": lambda value: all(isinstance(each, str) for each in value),
    "null": lambda value: value is None,
}


def schema() -> dict[str, dict[str, list[str]]]:
    """Returns the fields of each event, with the permitted kinds of value."""
    sections: dict[str, dict[str, list[str]]] = {}
    current: dict[str, list[str]] = {}
    for line in _PAGE.read_text().splitlines():
        if heading := re.match(r"^## (?:`(\w+)`|.*)", line):
            current = sections.setdefault(heading[1] or "", {})
        elif row := _ROW.match(line):
            current[row[1]] = [kind.strip() for kind in row[2].split(" or ")]
    common = sections.pop("")
    return {event: common | fields for event, fields in sections.items()}


def violations(line: str) -> list[str]:
    """Returns what is wrong with a line of the audit log; empty if it keeps to the schema."""
    entry = json.loads(line)
    fields = schema().get(entry.get("event"))
    if fields is None:
        return [f"unknown event {entry.get('event')!r}"]
    return [f"{name} is missing" for name in fields.keys() - entry.keys()] + [
        f"{name}: {value!r}"
        for name, value in entry.items()
        if not any(_is(kind, value) for kind in fields.get(name, ()))
    ]


def _is(kind: str, value: object) -> bool:
    try:
        return bool(_KINDS[kind](value))
    except (TypeError, ValueError, AttributeError):
        return False
