"""Defines the result of examining an installation."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: Names in a message; the others are counted.
MOST_SHOWN: Final = 5


class Severity(StrEnum):
    """How much a finding matters."""

    GOOD = "good"
    """Nothing is wrong."""
    NOTE = "note"
    """Worth knowing; nothing has to be done."""
    WARNING = "warning"
    """It works, and something should be done."""
    WRONG = "wrong"
    """Something has to be done: users cannot log in, or unauthorized clients can."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one examination.

    Attributes:
        severity: how much it matters.
        part: what it is about, as the operator named it.
        cause: what was found, and what that means.
        remedy: what to do; "" when nothing has to be done.
    """

    severity: Severity
    part: str
    cause: str
    remedy: str = ""


def listed(names: Iterable[str]) -> str:
    """Returns names in order, as a part of a sentence."""
    ordered = sorted(names)
    shown = ", ".join(ordered[:MOST_SHOWN])
    more = len(ordered) - MOST_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
