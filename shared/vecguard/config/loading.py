"""Loads the settings: defaults, then a file, then the environment; later values win."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from vecguard.config.catalogue import Catalogue
from vecguard.config.catalogue import Path as KeyPath
from vecguard.config.consistency import Inconsistency
from vecguard.config.problems import COMPLAINT, Problem, as_error, describe
from vecguard.config.removed import REMOVED
from vecguard.config.settings import INCONSISTENT, Settings
from vecguard.config.sources import (
    EnvironmentValues,
    FileValues,
    place,
    read_environment,
    read_file,
)
from vecguard.input_text import TextError, cleaned

Tree = dict[str, object]


@cache
def settings_catalogue() -> Catalogue:
    """Returns the catalogue of every key of `Settings`."""
    return Catalogue(Settings)


def load_settings(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Returns the effective settings.

    Args:
        path: a YAML file, or None without a file.
        environ: environment variables such as `VECGUARD__PROXY__PORT`; others are ignored.

    Raises:
        ConfigurationError: the text lists every fault, with file and line, or with the variable.
    """
    environment = read_environment(environ, settings_catalogue())
    file = read_file(path) if path is not None else FileValues()
    if file.problems:
        raise as_error([*file.problems, *environment.problems])
    return _Merge(path, file, environment).settings()


class _Merge:
    """Merges the sources of one load, and describes values by where they come from."""

    def __init__(self, path: Path | None, file: FileValues, environment: EnvironmentValues) -> None:
        self._catalogue = settings_catalogue()
        self._path = path
        self._file = file
        self._environment = environment

    def settings(self) -> Settings:
        problems = list(self._environment.problems)
        tree = self._tree()
        if unreadable := list(self._clean(tree)):
            raise as_error([*problems, *unreadable])
        try:
            settings = _validate(tree)
        except ValidationError as error:
            problems += self._problems(tree, error)
        else:
            if not problems:
                return settings
        raise as_error(problems)

    def _tree(self) -> Tree:
        tree = self._without_empty_sections(self._file.values, ())
        for path, value in self._environment.values.items():
            _put(tree, path, value)
        return tree

    def _clean(self, tree: Tree) -> Iterator[Problem]:
        """Cleans every text of the characters that its source has added."""
        for path, key in self._catalogue.keys.items():
            try:
                _change(tree, path, _cleaned)
            except TextError as error:
                yield Problem(self._where(path), key.dotted, f"its value {error}")

    def _without_empty_sections(self, values: Mapping[str, object], prefix: KeyPath) -> Tree:
        """Returns a copy without sections that are empty or hold only comments."""
        tree: Tree = {}
        for name, value in values.items():
            path = (*prefix, name)
            if not self._catalogue.is_section(path):
                tree[name] = value
            elif isinstance(value, dict):
                tree[name] = self._without_empty_sections(value, path)
            elif value is not None:
                tree[name] = value
        return tree

    def _problems(self, tree: Tree, error: ValidationError) -> Iterator[Problem]:
        faulty: set[KeyPath] = set()
        for details in error.errors(include_url=False):
            if details["type"] == INCONSISTENT:
                yield from map(self._together, details["ctx"]["found"])
                continue
            faulty.add(self._setting(details)[0])
            yield self._alone(details)
        if faulty:
            yield from map(self._together, self._hidden(tree, faulty))

    def _hidden(self, tree: Tree, faulty: set[KeyPath]) -> Iterator[Inconsistency]:
        """Finds contradictions between the other settings, without the faulty values."""
        for path in faulty:
            _remove(tree, path)
        try:
            _validate(tree)
        except ValidationError as error:
            for details in error.errors(include_url=False):
                for found in details.get("ctx", {}).get("found", ()):
                    paths = {tuple(key.split(".")) for key in found.keys}
                    if not any(path[: len(bad)] == bad for path in paths for bad in faulty):
                        yield found

    def _setting(self, details: ErrorDetails) -> tuple[KeyPath, KeyPath]:
        """Returns the path of the faulty setting, and that of the entry if it is a mapping."""
        names = tuple(part for part in details["loc"] if isinstance(part, str))
        for depth in range(1, len(names)):
            if names[:depth] in self._catalogue.keys:
                return names[:depth], names[depth : depth + 1]
        return names, ()

    def _alone(self, details: ErrorDetails) -> Problem:
        path, entry = self._setting(details)
        where = self._where(path, entry)
        dotted = (
            ".".join(path) + "".join(f"[{describe(part)}]" for part in entry) + _indices(details)
        )
        key = self._catalogue.keys.get(path)
        if key is None:
            if self._catalogue.is_section(path):
                found = "a list" if isinstance(details["input"], list) else "a single value"
                return Problem(where, dotted, f"expected a section, found {found}")
            if path in REMOVED:
                return Problem(where, dotted, REMOVED[path].complaint("key"))
            similar = self._catalogue.similar(path)
            hint = f"; did you mean {similar}?" if similar else ""
            return Problem(where, dotted, f"unknown key{hint}")
        if details["type"] == COMPLAINT:
            return Problem(where, dotted, details["msg"])
        if details["type"] == "secret_masked":
            return Problem(where, dotted, f"{details['msg']}; write it here or set {key.variable}")
        found = describe(details["input"], secret=key.secret)
        wants_text = key.kind is str or key.secret
        quotes = " (put it in quotes)" if wants_text and _is_plain_number(details) else ""
        return Problem(where, dotted, f"expected {key.expected}, found {found}{quotes}")

    def _together(self, found: Inconsistency) -> Problem:
        paths = [tuple(key.split(".")) for key in found.keys]
        places = dict.fromkeys(self._where(path) for path in paths if self._is_set(path))
        return Problem(" and ".join(places), ", ".join(found.keys), found.complaint)

    def _is_set(self, path: KeyPath) -> bool:
        return path in self._environment.variables or path in self._file.lines

    def _where(self, path: KeyPath, entry: KeyPath = ()) -> str:
        if path in self._environment.variables:
            return self._environment.variables[path]
        if self._path is None:
            return ""
        path = (*path, *entry)
        lengths = range(len(path), 0, -1)
        lines = (self._file.lines.get(path[:length]) for length in lengths)
        return place(self._path, next((line for line in lines if line), None))


def _validate(tree: Tree) -> Settings:
    # By alias only: the file permits one spelling.
    return Settings.model_validate(tree, by_alias=True, by_name=False)


def _indices(details: ErrorDetails) -> str:
    return "".join(f"[{part}]" for part in details["loc"] if isinstance(part, int))


def _is_plain_number(details: ErrorDetails) -> bool:
    return isinstance(details["input"], int | float)


def _put(tree: Tree, path: KeyPath, value: object) -> None:
    """Sets one value. A file's value in place of a section is kept, to be refused."""
    for name in path[:-1]:
        below = tree.setdefault(name, {})
        if not isinstance(below, dict):
            return
        tree = below
    tree[path[-1]] = value


def _change(tree: Tree, path: KeyPath, change: Callable[[object], object]) -> None:
    """Replaces one value, if there is one."""
    for name in path[:-1]:
        below = tree.get(name)
        if not isinstance(below, dict):
            return
        tree = below
    if path[-1] in tree:
        tree[path[-1]] = change(tree[path[-1]])


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return cleaned(value)
    if isinstance(value, dict):
        return {name: _cleaned(each) for name, each in value.items()}
    return [_cleaned(each) for each in value] if isinstance(value, list) else value


def _remove(tree: Tree, path: KeyPath) -> None:
    for name in path[:-1]:
        below = tree.get(name)
        if not isinstance(below, dict):
            return
        tree = below
    tree.pop(path[-1], None)
