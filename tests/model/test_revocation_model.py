"""The revocation protocol keeps its promise in every state of the model."""

import multiprocessing
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor

import pytest

from tests.model.configurations import SHORT, SHORT_LIVENESS, seeded
from tests.model.explorer import Exploration, explore
from tests.model.liveness import longest_wait
from tests.model.rules import Bug, Rules

#: The first test waits for the largest exploration, which has the CPUs with other tests.
pytestmark = pytest.mark.timeout(400)

#: Without these a run would prove nothing: the states that matter were never reached.
_INTERESTING = (
    "answer",
    "answer after a lease ran out",
    "break",
    "commit unknown",
    "elected",
    "invalidated",
    "synced",
)


_BUGS = [bug for bug in Bug if bug is not Bug.NONE]

Explored = Mapping[Rules, Future[Exploration]]


@pytest.fixture(scope="module")
def explored() -> Iterator[Explored]:
    """Every configuration, explored by all cores while the tests look at one after the other."""
    rules = [*SHORT.values(), *map(seeded, _BUGS)]
    pool = ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))
    try:
        yield {each: pool.submit(explore, each) for each in rules}
    finally:
        pool.shutdown(cancel_futures=True)


def _numbered(found: Exploration) -> str:
    return "\n".join(f"{number:>2}. {text}" for number, text in enumerate(found.trace, 1))


@pytest.mark.parametrize("name", SHORT)
def test_no_reachable_state_decides_by_an_older_version_than_the_acknowledged(
    explored: Explored, name: str
) -> None:
    found = explored[SHORT[name]].result()

    assert not found.violation, _numbered(found)
    interesting = set(_INTERESTING)
    if SHORT[name].restores:
        # Nothing is cut short here, and each state after an Invalidate is found some other
        # way before.
        interesting = interesting - {"invalidated"} | {"restore"}
    if SHORT[name].roles:
        interesting |= {"roles fetched", "policy applied", "everything applied"}
        # Each state after an Invalidate is found some other way before.
        interesting -= {"invalidated"}
    if SHORT[name].actors:
        interesting |= {"actor's change", "actor refused"}
    unreached = sorted(kind for kind in interesting if not found.reached[kind])
    assert not unreached, f"the exploration is void, it never reached: {unreached}"
    if SHORT[name].step_downs:
        assert found.reached["elected without wait"]
        assert found.reached["void"]
    assert found.states > 50_000


@pytest.mark.parametrize("bug", _BUGS, ids=lambda b: b.name)
def test_a_protocol_without_this_guard_breaks_the_promise(explored: Explored, bug: Bug) -> None:
    found = explored[seeded(bug)].result()

    print(_numbered(found))
    assert found.violation, f"not found in {found.states} states: {bug.value}"
    assert found.trace[-1] == f"BROKEN: {found.violation}"


def test_every_change_is_answered_soon_after_failures_stop() -> None:
    rules = SHORT_LIVENESS
    explored = explore(rules, keep=True)

    wait = longest_wait(rules, explored.kept)

    # Not only "at most": a bound that nothing ever reaches would prove little.
    assert wait == rules.election_ttl + rules.lease_ttl + rules.margin
