"""What a run must keep to pass, as it is given on the command line: `known.p99_ms<50`."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.load.errors import LoadError

_FORM = re.compile(r"\s*([a-z]+)\.([a-z0-9_]+)\s*(<=|>=|<|>)\s*([0-9.]+)\s*")
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Figures = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Threshold:
    """A limit on one figure of one scenario."""

    scenario: str
    figure: str
    comparison: str
    limit: float

    @classmethod
    def parse(cls, text: str) -> "Threshold":
        """Raises ValueError when it is not SCENARIO.FIGURE, a comparison and a number."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not like known.p99_ms<50")
        scenario, figure, comparison, limit = match.groups()
        return cls(scenario, figure, comparison, float(limit))

    def __str__(self) -> str:
        return f"{self.scenario}.{self.figure}{self.comparison}{self.limit:g}"

    def value(self, figures: Figures) -> float:
        """The figure that it is about.

        Raises:
            LoadError: there is no such figure, so that a slip of the pen never passes.
        """
        if self.scenario not in figures:
            raise LoadError(f"{self}: there is no scenario {self.scenario!r} in this run")
        known = figures[self.scenario]
        if self.figure not in known:
            raise LoadError(f"{self}: no figure {self.figure!r}; one of {', '.join(known)}")
        return known[self.figure]

    def is_kept(self, figures: Figures) -> bool:
        return _COMPARISONS[self.comparison](self.value(figures), self.limit)
