"""Lists every key of the configuration: its names, its expected value and its meaning.

It is made from the models, so that messages, environment variables and documentation never name
a key that does not exist.
"""

import difflib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from vecguard.config.fields import Expected, Section, Unit
from vecguard.secret import Secret

#: Two underscores: Kubernetes itself sets VECGUARD_PROXY_PORT=tcp://... for a Service that is
#: called vecguard-proxy.
VARIABLE_SEPARATOR: Final = "__"
VARIABLE_PREFIX: Final = "VECGUARD" + VARIABLE_SEPARATOR

Path = tuple[str, ...]


def variable_of(path: Path) -> str:
    """Returns the environment variable that sets a key: `VECGUARD__PROXY__PORT`."""
    return VARIABLE_PREFIX + VARIABLE_SEPARATOR.join(path).upper()


@dataclass(frozen=True, slots=True)
class Key:
    """A setting.

    Attributes:
        path: its names from the top, spelled as in the file.
        kind: bool, int, float, str, tuple or Secret.
        optional: whether it can be unset.
        expected: what its value must be, in words.
        description: its meaning, with its unit.
        default: its value when it is not set.
    """

    path: Path
    kind: type
    optional: bool
    expected: str
    description: str
    default: object

    @property
    def dotted(self) -> str:
        """The key as texts show it: `proxy.port`."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """The environment variable that sets it: `VECGUARD__PROXY__PORT`."""
        return variable_of(self.path)

    @property
    def secret(self) -> bool:
        """Whether its value must never be shown."""
        return self.kind is Secret


class Catalogue:
    """Holds the keys of a model, in its order.

    Attributes:
        keys: every key by its path.
        descriptions: the meaning of every section below the top, by its path.
    """

    def __init__(self, model: type[Section]) -> None:
        self.keys: Final[Mapping[Path, Key]] = {key.path: key for key in _keys(model, ())}
        self.descriptions: Final[Mapping[Path, str]] = dict(_descriptions(model, ()))
        self._sections = {path[:depth] for path in self.keys for depth in range(len(path))}
        self._variables = {key.variable: key for key in self.keys.values()}

    def is_section(self, path: Path) -> bool:
        """Returns whether this is a group of keys."""
        return path in self._sections

    def by_variable(self, name: str) -> Key | None:
        """Returns the key that an environment variable sets, in upper or lower case."""
        return self._variables.get(name.upper())

    def similar(self, path: Path) -> str | None:
        """Returns the known key or section that is most like `path`, dotted; None if none is."""
        parent, name = path[:-1], _plain(path[-1])
        known = [*self.keys, *self._sections - {()}]
        siblings = {_plain(each[-1]): each for each in known if each[:-1] == parent}
        namesakes = {_plain(each[-1]): each for each in self.keys}
        close = difflib.get_close_matches(name, siblings, n=1)
        found = siblings[close[0]] if close else namesakes.get(name)
        return ".".join(found) if found else None

    def similar_variable(self, name: str) -> str | None:
        """Returns the known environment variable that is most like `name`; None if none is."""
        return next(iter(difflib.get_close_matches(name.upper(), self._variables, n=1)), None)

    def same_letters(self, name: str) -> str | None:
        """Returns the known environment variable that differs from `name` only in underscores."""
        return next((each for each in self._variables if _plain(each) == _plain(name)), None)


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _keys(model: type[Section], prefix: Path) -> Iterator[Key]:
    for attribute, field in model.model_fields.items():
        path = (*prefix, field.alias or attribute)
        annotation: Any = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            yield from _keys(annotation, path)
            continue
        kind, metadata, optional = _kind(annotation, list(field.metadata))
        yield Key(
            path=path,
            kind=kind,
            optional=optional,
            expected=_in_words(kind, metadata),
            description=_description(path, field),
            default=field.get_default(call_default_factory=True),
        )


def _descriptions(model: type[Section], prefix: Path) -> Iterator[tuple[Path, str]]:
    for attribute, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            path = (*prefix, field.alias or attribute)
            yield path, inspect.getdoc(section) or ""
            yield from _descriptions(section, path)


def _description(path: Path, field: FieldInfo) -> str:
    if not field.description:
        raise TypeError(f"the setting {'.'.join(path)} has no description")
    return field.description


def _kind(annotation: Any, metadata: list[object]) -> tuple[type, list[object], bool]:
    """Returns the plain type below Optional, Annotated and Literal, with its metadata."""
    optional = False
    if get_origin(annotation) in (Union, UnionType):
        optional = NoneType in get_args(annotation)
        (annotation,) = (each for each in get_args(annotation) if each is not NoneType)
    while hasattr(annotation, "__metadata__"):
        for each in annotation.__metadata__:
            metadata += each.metadata if isinstance(each, FieldInfo) else [each]
        annotation = annotation.__origin__
    origin = get_origin(annotation)
    if isinstance(origin, type):
        annotation = origin
    elif origin is not None:
        annotation = type(get_args(annotation)[0])
    return annotation, metadata, optional


def _in_words(kind: type, metadata: list[object]) -> str:
    for each in metadata:
        if isinstance(each, Expected):
            return each.text
    if kind is bool:
        return "true or false"
    if kind is str:
        return "text"
    noun = "a whole number" if kind is int else "a number"
    units = "".join(f" of {each.name}" for each in metadata if isinstance(each, Unit))
    return f"{noun}{units}{_range(kind, metadata)}"


def _range(kind: type, metadata: list[object]) -> str:
    least = next((each.ge for each in metadata if isinstance(each, annotated_types.Ge)), None)
    above = next((each.gt for each in metadata if isinstance(each, annotated_types.Gt)), None)
    most = next((each.le for each in metadata if isinstance(each, annotated_types.Le)), None)
    below = next((each.lt for each in metadata if isinstance(each, annotated_types.Lt)), None)
    if kind is int and isinstance(above, int):
        least, above = above + 1, None
    if least is not None and most is not None:
        return f" from {least} to {most}"
    if least is not None:
        return f", {least} or more" + (f" and below {below}" if below is not None else "")
    return f" above {above}" if above is not None else ""
