"""Describes the faults of a configuration for people."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic_core import PydanticCustomError

from vecguard.errors import ConfigurationError

#: The type of pydantic's error for a value whose fault has a text of its own.
COMPLAINT: Final = "complaint"
_MAX_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault.

    Attributes:
        where: the file with its line, or the environment variable.
        key: the dotted key, spelled as in the file; "" if there is none.
        complaint: what was expected, and what was found.
    """

    where: str
    key: str
    complaint: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.key, self.complaint) if part)


def complaint(text: str) -> PydanticCustomError:
    """Returns the error for a validator to raise if the kind of a value cannot say its fault.

    The text is shown: it must not quote a secret.
    """
    return PydanticCustomError(COMPLAINT, "{text}", {"text": text})


def as_error(problems: Sequence[Problem]) -> ConfigurationError:
    """Returns one error that lists all faults."""
    if len(problems) == 1:
        return ConfigurationError(str(problems[0]))
    return ConfigurationError(
        f"the configuration has {len(problems)} problems:", *map(str, problems)
    )


def describe(value: object, *, secret: bool = False) -> str:
    """Describes a value, short and in the file's words. A secret is never shown."""
    match value:
        case None:
            return "nothing"
        case dict():
            return "a section"
        case list() | tuple():
            return "a list"
    kinds: dict[type, str] = {bool: "true or false", int: "a number", float: "a number"}
    if secret:
        return f"{kinds.get(type(value), 'text')} (not shown)"
    if not isinstance(value, str):
        return json.dumps(value, default=repr)
    shown = value if len(value) <= _MAX_SHOWN else value[:_MAX_SHOWN] + "..."
    return json.dumps(shown, ensure_ascii=False)
