"""What happened, as the clients saw it: every request and every change, with its times.

All times are of one clock of one process, in seconds. `sent` is taken before anything is
sent and `answered` after the answer is there, so that what the record says is never
tighter than what happened.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

#: Stands in the place of the proxy for a change that was made in etcd itself.
BEHIND_OUR_BACK = "etcd"


class Subject(StrEnum):
    """What a change changes, and by what a request is decided."""

    PASSWORD = "password"
    #: Whether a role has a grant.
    GRANT = "grant"
    #: Whether a user has a role.
    MAPPING = "mapping"
    #: Whether a privilege group has a privilege.
    GROUP = "group"


class Decision(StrEnum):
    """How a request ended."""

    ACCEPTED = "accepted"
    #: UNAUTHENTICATED: the password is wrong.
    REFUSED = "refused"
    #: PERMISSION_DENIED: no role of the user allows it.
    FORBIDDEN = "forbidden"
    #: The proxy said that it cannot decide, or could not be reached.
    UNAVAILABLE = "unavailable"
    #: No answer came within the bound.
    HUNG = "hung"


class Outcome(StrEnum):
    """How a change ended, as its caller knows."""

    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"
    #: The proxy said that it cannot make it, and not that the outcome is unknown.
    NOT_MADE = "not made"
    UNKNOWN = "unknown"
    HUNG = "hung"


@dataclass(frozen=True, slots=True)
class Request:
    """One call that one version of a user's password, or of a permission, decides.

    Attributes:
        user: whose password, or which permission (`Permission.name`).
        version: of the password that the call had; of a permission, the one that its client
            believed in.
        reason: why it was not accepted, one of a few words.
        final: made after all faults were over, to see what is left.
    """

    user: str
    version: int
    proxy: str
    sent: float
    answered: float
    decision: Decision
    reason: str = ""
    final: bool = False
    subject: Subject = Subject.PASSWORD


@dataclass(frozen=True, slots=True)
class Change:
    """One attempt to change something.

    When its outcome is unknown, the same may follow again for a password. A permission has no
    further change then.

    Attributes:
        user: whose password, or which permission (`Permission.name`).
        old: the version before, a number; an odd version of a permission allows.
        proxy: through which it went, or BEHIND_OUR_BACK.
        effective: from when on nobody may be accepted by an older version, if it was
            acknowledged: its answer, or some time later for a change behind our back.
    """

    user: str
    old: int
    new: int
    proxy: str
    sent: float
    answered: float
    effective: float
    outcome: Outcome
    reason: str = ""
    subject: Subject = Subject.PASSWORD


@dataclass(frozen=True, slots=True)
class Incident:
    """A fault, from its injection to the moment at which it was over."""

    name: str
    target: str
    began: float
    ended: float


@dataclass(slots=True)
class History:
    """Everything that is known about a run."""

    requests: list[Request] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)

    def acknowledged(self) -> Counter[Subject]:
        """How many changes of each subject were acknowledged by a proxy."""
        return Counter(
            change.subject
            for change in self.changes
            if change.outcome is Outcome.ACKNOWLEDGED and change.proxy != BEHIND_OUR_BACK
        )

    def write(self, path: Path, extra: Iterable[object] = ()) -> None:
        """Keeps it as JSON lines, in the order of sending; `extra` comes first."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            for each in [*extra, *self._in_order()]:
                file.write(json.dumps({"kind": type(each).__name__.lower(), **asdict(each)}) + "\n")

    def _in_order(self) -> Iterator[Request | Change | Incident]:
        records = [*self.requests, *self.changes, *self.incidents]
        return iter(
            sorted(
                records, key=lambda each: each.began if isinstance(each, Incident) else each.sent
            )
        )
