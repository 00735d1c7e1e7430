"""The texts that documents quote, and the string literals of the sources that they come from."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]

_SOURCES = ("services", "shared", "deploy/local")
#: Made from the settings' own descriptions, and checked by `make docs-check`.
_GENERATED = "configuration.md"
_FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`]+)`")
#: What stands in a quotation for something that differs from case to case.
_ELISION = re.compile(r"\.\.\.|\bNAME\b")

#: How code spans begin that are commands.
_COMMAND = re.compile(
    r"-|[A-Z_]+=|\.venv/bin/|(apt|cp|docker|etcdctl|git|helm|kind|kubectl|make|milvus-lite|openssl|pip"
    r"|podman|promtool|pytest|python|sysctl|ulimit|vecguard(-proxy|-root-coord)?) "
    r"|(certs (init|check|client|renew)|root reset|user (create|delete|describe|list|passwd|roles)"
    r"|member add"
    r"|role (alter|create|describe|drop|explain|grant|list|revoke)"
    r"|group (add|create|drop|list|remove))$"
)
#: `key: value` of YAML or JSON, `f(x)` and `NAME="value"`.
_SETTING_OR_CALL = re.compile(r"[\w.\"]+: \S+|[\w.]* ?[\w.]*\(.*\)|\w+ = .*|async with .*|sum .*")

#: Fewer words after an elision could come from anywhere.
_ENOUGH_WORDS = 3

Text = tuple[str, ...]
"""The constant parts of a text, in their order."""


def documents() -> list[Path]:
    """Every page that users and operators read."""
    pages = [page for page in (CHECKOUT / "docs").glob("*.md") if page.name != _GENERATED]
    return sorted([*pages, CHECKOUT / "README.md", CHECKOUT / "SECURITY.md"])


def quotations(page: Path) -> list[str]:
    """The code spans of a page that have blanks and are no commands, settings or calls."""
    content = _FENCED.sub("", page.read_text())
    spans = (" ".join(span.split()) for span in _SPAN.findall(content))
    return [
        span
        for span in spans
        if " " in span and not _COMMAND.match(span) and not _SETTING_OR_CALL.fullmatch(span)
    ]


def quoted(text: str) -> Text:
    """A quotation without what it leaves out; "" is first where that is its beginning."""
    first, *others = (part.strip() for part in _ELISION.split(text))
    return (first, *(part for part in others if part))


def source_texts() -> list[Text]:
    """The string literals of the sources, docstrings left out; f-strings without their values."""
    return [
        text
        for directory in _SOURCES
        for file in sorted((CHECKOUT / directory).rglob("*.py"))
        for text in texts_of(ast.parse(file.read_text()))
    ]


def texts_of(tree: ast.Module) -> Iterator[Text]:
    """The same of one file."""
    parts_of_others: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            parts_of_others.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            parts_of_others.update(node.values)
            constants = [part for part in node.values if isinstance(part, ast.Constant)]
            yield tuple(str(part.value) for part in constants)
        elif isinstance(node, ast.Constant) and node not in parts_of_others:
            if isinstance(node.value, bytes):  # what is written to a socket
                yield (node.value.decode("latin-1"),)
            elif isinstance(node.value, str):
                yield (node.value,)


def says(source: Text, quotation: Text) -> bool:
    """Whether the parts of a quotation occur in a source's text, in their order.

    Each begins where a constant part of the source does. After an elision, a part of several words
    may begin anywhere.
    """
    rest = list(source)
    for number, part in enumerate(quotation):
        if not part:
            continue
        anywhere = number > 0 and len(part.split()) >= _ENOUGH_WORDS
        while rest and not _begins(rest[0], part, anywhere=anywhere):
            rest.pop(0)
        if not rest:
            return False
        rest[0] = rest[0].partition(part)[2]
    return True


def _begins(text: str, part: str, *, anywhere: bool) -> bool:
    before, found, _ = text.partition(part)
    return bool(found) and (anywhere or not any(map(str.isalnum, before)))
