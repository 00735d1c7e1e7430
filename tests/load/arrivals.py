"""When attempts are due. This is what makes the load open: nothing here knows of answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random


class Pattern(StrEnum):
    #: Independent clients: exponential gaps, so that some attempts come in bunches.
    POISSON = "poisson"
    #: The same gap each time.
    EVEN = "even"


@dataclass(frozen=True)
class Arrivals:
    """So many attempts a second, for so long.

    Attributes:
        rate: attempts per second, on average.
        seconds: how long they keep coming.
        pattern: how they are spread.
    """

    rate: float
    seconds: float
    pattern: Pattern = Pattern.POISSON

    @property
    def expected(self) -> float:
        """How many there will be, on average."""
        return self.rate * self.seconds

    def offsets(self, random: Random) -> Iterator[float]:
        """Seconds after the beginning at which attempts are due, in order."""
        if self.pattern is Pattern.EVEN:
            for number in range(int(self.expected)):
                yield number / self.rate
            return
        due = random.expovariate(self.rate)
        while due < self.seconds:
            yield due
            due += random.expovariate(self.rate)
