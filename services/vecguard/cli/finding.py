"""What a look at an installation has brought up."""

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
    """Something has to be done: nobody can log in, or the wrong ones can."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        severity: how much it matters.
        part: what it is about, as the operator named it.
        cause: what is the case, and what that means.
        remedy: what to do; "" when nothing has to be done.
    """

    severity: Severity
    part: str
    cause: str
    remedy: str = ""
