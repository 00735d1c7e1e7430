"""Reads settings from a YAML file and from the environment."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from vecguard.config.catalogue import (
    VARIABLE_PREFIX,
    VARIABLE_SEPARATOR,
    Catalogue,
    Key,
)
from vecguard.config.catalogue import Path as KeyPath
from vecguard.config.problems import Problem
from vecguard.config.removed import REMOVED, removed_by_variable

#: No section is deeper. The limit also ends the walk through a file whose aliases form a cycle.
_MAX_DEPTH: Final = 8

# What Kubernetes and Docker set for a service that is called vecguard-...
_OF_A_SERVICE: Final = re.compile(
    r"_SERVICE_(HOST|PORT\w*)$|_PORT_[0-9]+_(TCP|UDP|SCTP)\w*$|_ENV_", re.ASCII | re.IGNORECASE
)
_PORT_OF_A_SERVICE: Final = ("tcp://", "udp://", "sctp://")

_WHOLE_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}", re.ASCII)
_WORDS: Final = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


@dataclass(frozen=True, slots=True)
class FileValues:
    """The content of a file.

    Attributes:
        values: its values.
        lines: the line of every key.
        problems: why the file cannot be used; then the rest is empty.
    """

    values: Mapping[str, object] = field(default_factory=dict)
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class EnvironmentValues:
    """The settings of the environment.

    Attributes:
        values: converted to the key's kind if the text permits, otherwise the text.
        variables: the name of the variable of each value, as it is written in the environment.
        problems: variables that set no key.
    """

    values: Mapping[KeyPath, object]
    variables: Mapping[KeyPath, str]
    problems: tuple[Problem, ...]


def place(path: Path, line: int | None) -> str:
    """Describes a position in a file."""
    return f"{path}, line {line}" if line else str(path)


class _UnusableError(Exception):
    """The file has no usable content. Stays in this module."""

    def __init__(self, path: Path, line: int | None, complaint: str) -> None:
        super().__init__(complaint)
        self.problem = Problem(place(path, line), "", complaint)


def read_file(path: Path) -> FileValues:
    """Reads a YAML file. Reports faults of the file in `problems` and does not raise them."""
    try:
        return _parse(path, _read(path))
    except _UnusableError as unusable:
        return FileValues(problems=(unusable.problem,))


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _UnusableError(path, None, f"cannot read the file: {error.strerror}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _UnusableError(path, line, "expected UTF-8 text, found other bytes") from None


def _parse(path: Path, text: str) -> FileValues:
    try:
        return _construct(path, _Loader(text))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        raise _UnusableError(path, line, "expected YAML, found a control character") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line_or_none = mark.line + 1 if mark else None
        raise _UnusableError(path, line_or_none, f"not YAML: {_why(error)}") from None
    except RecursionError:
        raise _UnusableError(path, None, "the YAML is nested too deeply") from None
    except (ValueError, LookupError, AttributeError, TypeError):
        # PyYAML's constructors fail on values that only look like their kind: 0x_, !!bool x.
        complaint = "not YAML: a value does not fit its type; put it in quotes if it is text"
        raise _UnusableError(path, None, complaint) from None


def _why(error: yaml.MarkedYAMLError) -> str:
    """Returns the parser's reason without its quotation of the file, which may be a password."""
    reason = error.problem or "it cannot be parsed"
    if isinstance(error, yaml.composer.ComposerError | yaml.constructor.ConstructorError):
        reason = reason.partition("'")[0].strip()
        reason += "; put text that begins with &, * or ! in quotes"
    return reason


class _Loader(yaml.SafeLoader):
    """Loads safe YAML and keeps a date as text, because no setting is a date."""

    yaml_implicit_resolvers: Final = {  # type: ignore[misc]  # PyYAML's stub says nothing of it
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _construct(path: Path, loader: _Loader) -> FileValues:
    try:
        root = loader.get_single_node()
        if root is None:
            return FileValues()
        if not isinstance(root, yaml.MappingNode) or root.tag.endswith(":set"):
            if loader.construct_document(root) is None:
                return FileValues()
            line = root.start_mark.line + 1
            complaint = "expected sections such as `proxy:`, found something else"
            raise _UnusableError(path, line, complaint)
        keys = list(_walk(root, ()))
        problems = tuple(_faulty_keys(path, keys))
        if problems:
            return FileValues(problems=problems)
        lines = {key: node.start_mark.line + 1 for key, node in keys}
        return FileValues(values=loader.construct_document(root), lines=lines)
    finally:
        loader.dispose()


def _walk(node: yaml.MappingNode, prefix: KeyPath) -> Iterator[tuple[KeyPath, yaml.Node]]:
    for key, value in node.value:
        path = (*prefix, str(key.value))
        yield path, key
        if isinstance(value, yaml.MappingNode) and len(path) < _MAX_DEPTH:
            yield from _walk(value, path)


def _faulty_keys(path: Path, keys: list[tuple[KeyPath, yaml.Node]]) -> Iterator[Problem]:
    seen: dict[KeyPath, int] = {}
    repeated: set[KeyPath] = set()
    for key, node in keys:
        where, dotted = place(path, node.start_mark.line + 1), ".".join(key)
        if node.tag == "tag:yaml.org,2002:merge" or key[:-1] in repeated:
            continue
        if node.tag != "tag:yaml.org,2002:str":
            yield Problem(where, "", "expected a name as key, found another type")
        elif key in seen:
            repeated.add(key)
            yield Problem(where, dotted, f"already set in line {seen[key]}")
        seen.setdefault(key, node.start_mark.line + 1)


def read_environment(environ: Mapping[str, str], catalogue: Catalogue) -> EnvironmentValues:
    """Reads the variables that begin with `VECGUARD__`, in upper or lower case.

    A variable with a missing underscore is a problem, too, so that it is not silently ignored.
    """
    values: dict[KeyPath, object] = {}
    variables: dict[KeyPath, str] = {}
    problems: list[Problem] = []
    for name in sorted(environ):
        if not name.upper().startswith(VARIABLE_PREFIX):
            if _lacks_underscores(name, environ[name], catalogue):
                problems.append(_unknown(name, catalogue))
            continue
        key = catalogue.by_variable(name)
        if key is None:
            problems.append(_unknown(name, catalogue))
        elif key.path in variables:
            problems.append(Problem(name, key.dotted, f"also set by {variables[key.path]}"))
        else:
            variables[key.path] = name
            values[key.path] = _from_text(key, environ[name])
    return EnvironmentValues(values, variables, tuple(problems))


def _lacks_underscores(name: str, value: str, catalogue: Catalogue) -> bool:
    """Returns whether a variable is most likely a setting with a single underscore somewhere.

    `VECGUARD_PROXY_PORT=tcp://10.0.0.1:19530` is not: Kubernetes sets it for a Service that is
    called vecguard-proxy. Others, such as `VECGUARD_CONFIG`, have the name of no setting.
    """
    if not name.upper().startswith(VARIABLE_PREFIX[:-1]):
        return False
    if _OF_A_SERVICE.search(name) or value.startswith(_PORT_OF_A_SERVICE):
        return False
    return VARIABLE_SEPARATOR in name or catalogue.same_letters(name) is not None


def _unknown(name: str, catalogue: Catalogue) -> Problem:
    path = removed_by_variable(name)
    if path is not None:
        return Problem(name, ".".join(path), REMOVED[path].complaint("variable"))
    similar = catalogue.same_letters(name) or catalogue.similar_variable(name)
    hint = f"; did you mean {similar}?" if similar else ""
    return Problem(name, "", f"unknown environment variable{hint}")


def _from_text(key: Key, text: str) -> object:
    """Converts a text to the key's kind; a text that does not fit is returned to be refused."""
    stripped = text.strip()
    if key.optional and not stripped:
        return None
    if key.kind is bool:
        return _WORDS.get(stripped.lower(), text)
    if key.kind is int:
        return int(stripped) if _WHOLE_NUMBER.fullmatch(stripped) else text
    if key.kind is float:
        try:
            return float(stripped)
        except ValueError:
            return text
    return text
