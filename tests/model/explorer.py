"""Breadth-first exploration of every reachable state, and readable counterexamples."""

import gc
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cache
from time import perf_counter

from tests.model.protocol import Protocol
from tests.model.rules import Rules
from tests.model.state import NONE, Proxy, State


@dataclass
class Exploration:
    """What a run found."""

    states: int = 0
    #: Steps of the longest shortest path.
    depth: int = 0
    seconds: float = 0.0
    #: How often a step of this kind led to a state not seen before.
    reached: Counter[str] = field(default_factory=Counter)
    #: The broken promise and the shortest way to it; empty when there is none.
    violation: str = ""
    trace: list[str] = field(default_factory=list)
    #: Every state, if they were asked for.
    kept: Collection[State] = ()


class TooManyStatesError(Exception):
    """The configuration is larger than the limit given: nothing is proved."""


def explore(rules: Rules, *, limit: int = 50_000_000, keep: bool = False) -> Exploration:
    """Visit every state once, or stop at the first that breaks the promise.

    With `keep`, the result holds all states.

    Raises:
        TooManyStatesError: more than `limit` states were found.
    """
    started = perf_counter()
    # Millions of tuples without a cycle among them: the collector would only re-read them.
    gc.disable()
    try:
        result = _explore(rules, limit, keep=keep)
    finally:
        gc.enable()
    result.seconds = perf_counter() - started
    return result


def _explore(rules: Rules, limit: int, *, keep: bool) -> Exploration:
    protocol = Protocol(rules)
    representative = Symmetry(rules).representative
    result = Exploration()
    initial = representative(protocol.initial())
    parents: dict[State, State | None] = {initial: None}
    frontier = [initial]
    reached, successors, violation = result.reached, protocol.successors, protocol.violation
    while frontier:
        following: list[State] = []
        for state in frontier:
            for step, successor in successors(state):
                after = representative(successor)
                if after in parents:
                    continue
                parents[after] = state
                reached[step.kind] += 1
                following.append(after)
                broken = violation(after)
                if broken:
                    result.violation = broken
                    result.trace = _trace(protocol, parents, after, representative)
                    following.clear()
                    frontier = []
                    break
            if result.violation:
                break
        if len(parents) > limit:
            raise TooManyStatesError(f"more than {limit} states")
        if following:
            result.depth += 1
        frontier = following
    result.states = len(parents)
    if keep:
        result.kept = parents.keys()
    return result


class Symmetry:
    """One representative for states that differ only in which process is which."""

    def __init__(self, rules: Rules) -> None:
        # A process with a clock of its own is not like the others.
        special = rules.drifting or rules.second_lease_ttl or "SUSPEND" in rules.bug.name
        self._proxies_alike = rules.proxies > 1 and not special
        self._roots_alike = not special
        self._swapped = cache(_swapped)

    def representative(self, state: State) -> State:
        """The same state with its processes renumbered."""
        if self._proxies_alike and state.proxies[0] > state.proxies[1]:
            state = state._replace(proxies=state.proxies[::-1])
        if not self._roots_alike or state.roots[0] < state.roots[1]:
            return state
        world, roots, proxies = state
        holder = _other(world.holder)
        world = world._replace(holder=holder, latest=1 - world.latest)
        proxies = tuple(map(self._swapped, proxies))
        if self._proxies_alike and proxies[0] > proxies[1]:
            proxies = proxies[::-1]
        swapped = State(world, (roots[1], roots[0]), proxies)
        return swapped if roots[0] > roots[1] else min(state, swapped)


def _swapped(proxy: Proxy) -> Proxy:
    """The proxy when the two root coords change places."""
    return proxy._replace(
        root=_other(proxy.root),
        fetch_root=_other(proxy.fetch_root),
        orphans=(proxy.orphans[1], proxy.orphans[0]),
        outdated=(proxy.outdated[1], proxy.outdated[0]),
    )


def _other(root: int) -> int:
    return NONE if root == NONE else 1 - root


def _trace(
    protocol: Protocol,
    parents: dict[State, State | None],
    last: State,
    representative: Callable[[State], State],
) -> list[str]:
    """The steps to `last`, replayed so that each proxy keeps its number all the way."""
    path = [last]
    while (before := parents[path[-1]]) is not None:
        path.append(before)
    path.reverse()
    state, texts = protocol.initial(), []
    for target in path[1:]:
        for step, successor in protocol.successors(state):
            if representative(successor) == target:
                texts.append(step.text)
                state = successor
                break
        else:
            raise AssertionError("a state of the path cannot be reached from the one before")
    return [*texts, f"BROKEN: {protocol.violation(state)}"]
