"""What a run was, in figures and words. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.checker import Violation
from tests.chaos.history import BEHIND_OUR_BACK, Decision, History, Outcome, Subject

# Below this a run proves nothing, whatever the checker finds.
MINIMUM_PER_SECOND = 25.0


@dataclass(frozen=True, slots=True)
class Report:
    """A judged run.

    Attributes:
        seconds: for which the load ran.
        stuck: faults after which the system did not recover in time, and whatever else
            made the run end early.
    """

    seed: int
    seconds: float
    history: History
    violations: Sequence[Violation]
    stuck: Sequence[str] = ()

    @property
    def per_second(self) -> dict[str, float]:
        """Requests that each proxy has decided, per second; undecided ones prove nothing."""
        decided = Counter(
            request.proxy
            for request in self.history.requests
            if request.decision not in {Decision.UNAVAILABLE, Decision.HUNG}
        )
        proxies = {request.proxy for request in self.history.requests}
        return {proxy: decided[proxy] / self.seconds for proxy in sorted(proxies)}

    @property
    def is_void(self) -> bool:
        """Whether too little was asked for the run to mean anything."""
        rates = self.per_second
        return not rates or min(rates.values()) < MINIMUM_PER_SECOND

    @property
    def passed(self) -> bool:
        return not (self.violations or self.stuck or self.is_void)

    def __str__(self) -> str:
        return "\n".join([*self._figures(), *self._faults(), *self._verdict()])

    def _figures(self) -> list[str]:
        changes = self.history.changes
        ours = [change for change in changes if change.proxy != BEHIND_OUR_BACK]
        outcomes = Counter(change.outcome for change in ours)
        slowest = max(ours, key=lambda each: each.answered - each.sent, default=None)
        answers = Counter(request.decision for request in self.history.requests)
        reasons = Counter(
            request.reason
            for request in self.history.requests
            if request.decision is not Decision.ACCEPTED
        )
        why = Counter(change.reason for change in ours if change.reason)
        acknowledged = self.history.acknowledged()
        return [
            f"seed                  {self.seed}",
            f"duration              {self.seconds:.1f} s",
            "changes               "
            + ", ".join(f"{outcomes[outcome]} {outcome}" for outcome in Outcome)
            + f", {len(changes) - len(ours)} behind our back",
            *(f"    {count:7} {reason}" for reason, count in why.most_common(8)),
            "acknowledged          "
            + ", ".join(f"{subject}: {acknowledged[subject]}" for subject in Subject),
            "slowest change        "
            + (f"{slowest.answered - slowest.sent:.1f} s ({slowest.outcome})" if slowest else "-"),
            "requests              "
            + ", ".join(f"{answers[decision]} {decision}" for decision in Decision),
            "decided per second    "
            + ", ".join(f"{proxy}: {rate:.0f}" for proxy, rate in self.per_second.items()),
            "not accepted          " + ("" if reasons else "none"),
            *(f"    {count:7} {reason}" for reason, count in reasons.most_common(12)),
        ]

    def _faults(self) -> list[str]:
        counted = Counter(incident.name for incident in self.history.incidents)
        return [
            f"faults                {counted.total()}",
            *(f"    {count:7} {name}" for name, count in sorted(counted.items())),
        ]

    def _verdict(self) -> list[str]:
        kinds = Counter(violation.kind for violation in self.violations)
        lines = [f"violations            {len(self.violations)}"]
        lines += [f"    {count:7} {kind}" for kind, count in kinds.items()]
        lines += [
            f"    {violation.record}\n      by {violation.by}" for violation in self.violations[:5]
        ]
        lines += [f"stuck                 {each}" for each in self.stuck]
        if self.is_void:
            lines.append(
                f"VOID: below {MINIMUM_PER_SECOND:.0f} decided requests per second and proxy"
            )
        lines.append("PASSED" if self.passed else "FAILED")
        return lines
