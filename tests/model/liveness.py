"""How long a change can wait for its answer once failures have stopped."""

from collections.abc import Iterable

from tests.model.protocol import Protocol
from tests.model.rules import Rules
from tests.model.state import State

# What a healthy system does, the most urgent first; time goes on when nothing else is
# left to do. Renewals are not among them: an answer must not depend on them.
_SCHEDULE = (
    "opened",
    "renewed",
    "invalidated",
    "void",
    "synced",
    "notice",
    "deposed",
    "elected",
    "elected without wait",
    "answer",
    "answer after a lease ran out",
    "invalidate",
    "commit",
    "handed over",
    "sync",
    "connect",
    "keepalive",
    "tick",
)
_RANK = {kind: rank for rank, kind in enumerate(_SCHEDULE)}


class StuckError(Exception):
    """A healthy system would leave this change without an answer for ever."""


def longest_wait(rules: Rules, states: Iterable[State]) -> int:
    """The most ticks until a change is answered, over all `states`.

    From each state the system runs on without failures and the client's change is sent,
    if it was not yet. An answer is an acknowledgement, or the error that a client gets
    whose root coord was lost.

    Raises:
        StuckError: from some state no answer ever comes.
    """
    protocol = Protocol(rules)
    waits: dict[State, int] = {}
    for start in states:
        state = start
        path: list[tuple[State, int]] = []
        on_path: set[State] = set()
        while state not in waits and not _answered(rules, state):
            if state in on_path:
                raise StuckError(str(state))
            on_path.add(state)
            step, following = min(
                (found for found in protocol.successors(state) if found[0].kind in _RANK),
                key=lambda found: (_RANK[found[0].kind], found[0].text),
            )
            path.append((state, int(step.kind == "tick")))
            state = following
        wait = waits.get(state, 0)
        for passed, tick in reversed(path):
            wait += tick
            waits[passed] = wait
    return max(waits.values(), default=0)


def _answered(rules: Rules, state: State) -> bool:
    if state.world.acknowledged == rules.changes:
        return True
    under_way = state.roots[0].stage or state.roots[1].stage
    return state.world.version == rules.changes and not under_way
