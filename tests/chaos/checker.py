"""Judges a history. Pure.

The rule: once a change is acknowledged, no request that is sent later is decided by what
was before it. A change that failed, or whose outcome nobody knows, may have happened at
any time after its sending, until a later acknowledged change of the same user settles it:
changes of one user are made one after the other, and each names the password that it
replaces. A change of a permission names nothing, so none follows one that failed or whose outcome
nobody knows. A change that a proxy says it has not made is never made.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from tests.chaos.history import Change, Decision, History, Outcome, Request, Subject
from tests.chaos.ledger import allows


class Kind(StrEnum):
    """What was broken."""

    ACCEPTED_REVOKED = "accepted a password whose replacement was acknowledged"
    ACCEPTED_UNKNOWN = "accepted a password that was never set"
    REFUSED_CURRENT = "refused the current password as wrong"
    ALLOWED_REVOKED = "allowed what was revoked, and the revocation acknowledged"
    REFUSED_GRANTED = "refused what was granted, and the grant acknowledged"
    LOST = "no password of this user is accepted at the end"
    DISAGREEMENT = "proxies disagree at the end"
    UNDECIDED = "a login cannot be decided at the end"
    HUNG = "no answer within the bound"


# The answers that a permission decides.
_OF_PERMISSIONS = frozenset({Decision.ACCEPTED, Decision.FORBIDDEN})


@dataclass(frozen=True, slots=True)
class Violation:
    """What was broken, and by which record."""

    kind: Kind
    record: Request | Change
    #: The change that settled the matter, if one did.
    by: Change | None = None


class _Versions:
    """One user's passwords, or one permission, over time."""

    def __init__(self, user: str, initial: int, changes: Sequence[Change]) -> None:
        self._changes = sorted(changes, key=lambda change: change.sent)
        for earlier, later in pairwise(self._changes):
            if later.sent < earlier.answered:
                raise ValueError(f"changes of {user} overlap, so their order is not known")
        if self._changes and self._changes[0].subject is not Subject.PASSWORD:
            _require_outcomes(self._changes[:-1])
        self._initial = initial
        self._settling = [
            (change.effective, index)
            for index, change in enumerate(self._changes)
            if change.outcome is Outcome.ACKNOWLEDGED
        ]

    def settled(self, moment: float) -> tuple[int, Change | None, int]:
        """The newest version acknowledged by a moment, its change, and the next one's index."""
        found = bisect_right(self._settling, (moment, float("inf")))
        if not found:
            return self._initial, None, 0
        index = self._settling[found - 1][1]
        return self._changes[index].new, self._changes[index], index + 1

    def possible_later(self, start: int, until: float) -> Iterator[int]:
        """Versions that may have come into force from changes sent up to a moment."""
        for change in self._changes[start:]:
            if change.sent > until:
                return
            if change.outcome is not Outcome.NOT_MADE:
                yield change.new

    def was_ever_tried(self, version: int) -> bool:
        """Whether a client has ever set it, or tried to."""
        return version == self._initial or any(each.new == version for each in self._changes)


def _require_outcomes(changes: Iterable[Change]) -> None:
    for change in changes:
        if change.outcome not in {Outcome.ACKNOWLEDGED, Outcome.NOT_MADE}:
            raise ValueError(f"{change.user} was changed again, and {change} may follow that")


def check(history: History, initial: int = 0) -> list[Violation]:
    """Everything that should not have happened; every user begins with version `initial`.

    Raises:
        ValueError: two changes of one user overlap, or a change follows one of the same permission
            that was not acknowledged.
    """
    changes: dict[str, list[Change]] = defaultdict(list)
    for change in history.changes:
        changes[change.user].append(change)
    versions = {user: _Versions(user, initial, own) for user, own in changes.items()}
    violations = [
        Violation(Kind.HUNG, change) for change in history.changes if change.outcome is Outcome.HUNG
    ]
    for request in history.requests:
        if request.user not in versions:
            versions[request.user] = _Versions(request.user, initial, ())
        violations += _judge(request, versions[request.user])
    violations += _judge_end(request for request in history.requests if request.final)
    return violations


def _judge(request: Request, versions: _Versions) -> Iterator[Violation]:
    current, settled_by, start = versions.settled(request.sent)
    later = set(versions.possible_later(start, request.answered))
    if request.subject is not Subject.PASSWORD and request.decision in _OF_PERMISSIONS:
        is_allowed = request.decision is Decision.ACCEPTED
        if not any(allows(version) is is_allowed for version in {current, *later}):
            kind = Kind.ALLOWED_REVOKED if is_allowed else Kind.REFUSED_GRANTED
            yield Violation(kind, request, settled_by)
        return
    match request.decision:
        case Decision.HUNG:
            yield Violation(Kind.HUNG, request)
        case Decision.FORBIDDEN:
            yield Violation(Kind.REFUSED_GRANTED, request, settled_by)
        case Decision.ACCEPTED if request.version not in {current, *later}:
            known = versions.was_ever_tried(request.version)
            kind = Kind.ACCEPTED_REVOKED if known else Kind.ACCEPTED_UNKNOWN
            yield Violation(kind, request, settled_by)
        case Decision.REFUSED if request.subject is not Subject.PASSWORD:
            # The passwords of these users never change.
            yield Violation(Kind.REFUSED_CURRENT, request)
        case Decision.REFUSED if request.version == current and not later:
            yield Violation(Kind.REFUSED_CURRENT, request, settled_by)


def _judge_end(requests: Iterable[Request]) -> Iterator[Violation]:
    """All proxies agree which password of each user is left, exactly one, and what is allowed."""
    tried: dict[str, list[Request]] = defaultdict(list)
    for request in requests:
        tried[request.user].append(request)
    for own in tried.values():
        undecided = [each for each in own if each.decision in {Decision.UNAVAILABLE, Decision.HUNG}]
        if undecided:
            yield Violation(Kind.UNDECIDED, undecided[0])
            continue
        if own[0].subject is not Subject.PASSWORD:
            if len({each.decision for each in own}) != 1:
                yield Violation(Kind.DISAGREEMENT, own[-1])
            continue
        accepted = {
            proxy: {
                each.version
                for each in own
                if each.proxy == proxy and each.decision is Decision.ACCEPTED
            }
            for proxy in {each.proxy for each in own}
        }
        if not all(accepted.values()):
            yield Violation(Kind.LOST, own[-1])
        elif len(set.union(*accepted.values())) != 1:
            yield Violation(Kind.DISAGREEMENT, own[-1])
