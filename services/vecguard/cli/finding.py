"""Defines the result of examining an installation."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters."""

    GOOD = "good"
    """As it should be."""
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
