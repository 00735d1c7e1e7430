"""The calls of one run: how each ended, and whether it was allowed to end so."""

import time
from collections import Counter
from dataclasses import dataclass, field

import grpc

#: What a call may get while the backend goes away, is away, or comes back.
_ALLOWED_AROUND_A_RESTART = frozenset((grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED))
_MAX_TOLD = 20


@dataclass
class CallLog:
    """Records the calls of one run.

    Attributes:
        started: calls by kind.
        ended: by (kind, status, how): `expected`, `restart`, `limit` or `unexplained`.
        unexplained: the first of those, in words.
        flooded: seconds that unary calls took during a flood and no restart.
        quiet: seconds that unary calls took during neither.
    """

    started: Counter[str] = field(default_factory=Counter)
    ended: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)
    flooded: list[float] = field(default_factory=list)
    quiet: list[float] = field(default_factory=list)
    _floods: list[list[float]] = field(default_factory=list)
    _outages: list[list[float]] = field(default_factory=list)

    def begin(self, kind: str) -> float:
        """A call is made; its start, for `end`."""
        self.started[kind] += 1
        return time.monotonic()

    def end(
        self,
        kind: str,
        began: float,
        status: grpc.StatusCode,
        *,
        expected: bool,
        limited: bool = False,
        detail: str = "",
    ) -> None:
        """The call is over.

        `expected`: with the status and the answer that it must have; `limited`: refused
        because others at the address have failed to log in too often, and the login was new.
        """
        if expected:
            how = "expected"
        elif limited:
            how = "limit"
        elif status in _ALLOWED_AROUND_A_RESTART and self._met_an_outage(began):
            how = "restart"
        else:
            how = "unexplained"
            if len(self.unexplained) < _MAX_TOLD:
                self.unexplained.append(f"{kind}: {status.name} {detail}")
        self.ended[kind, status.name, how] += 1
        if kind == "unary" and how == "expected" and not self._met_an_outage(began):
            taken = self.flooded if _met(self._floods, began) else self.quiet
            taken.append(time.monotonic() - began)

    def flood_begins(self) -> None:
        """Other addresses flood the proxy from now on."""
        self._floods.append([time.monotonic(), float("inf")])

    def flood_ends(self) -> None:
        """They have stopped."""
        self._floods[-1][1] = time.monotonic()

    @property
    def floods(self) -> int:
        return len(self._floods)

    def outage_begins(self) -> None:
        """The backend is about to be stopped."""
        self._outages.append([time.monotonic(), float("inf")])

    def outage_ends(self) -> None:
        """The backend is back, and so is the proxy's connection to it."""
        self._outages[-1][1] = time.monotonic()

    @property
    def outages(self) -> int:
        return len(self._outages)

    def calls(self, how: str | None = None) -> int:
        """How many ended, in one way or in all."""
        return sum(
            count for (_, _, each), count in self.ended.items() if how is None or each == how
        )

    @property
    def are_balanced(self) -> bool:
        """Whether every call that was made has ended, and nothing is unexplained."""
        return self.calls() == self.started.total() and not self.calls("unexplained")

    def table(self) -> str:
        """A line for each kind and end."""
        return "\n".join(
            f"  {kind:<16}{status:<20}{how:<12}{count:>8}"
            for (kind, status, how), count in sorted(self.ended.items())
        )

    def _met_an_outage(self, began: float) -> bool:
        return _met(self._outages, began)


def _met(spans: list[list[float]], began: float) -> bool:
    now = time.monotonic()
    return any(begins <= now and began <= ends for begins, ends in spans)
