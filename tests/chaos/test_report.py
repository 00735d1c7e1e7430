"""The verdict on a run."""

from tests.chaos.checker import check
from tests.chaos.history import Change, Decision, History, Outcome, Request
from tests.chaos.report import MINIMUM_PER_SECOND, Report


def requests(proxy: str, count: int, decision: Decision = Decision.ACCEPTED) -> list[Request]:
    return [Request("alice", 0, proxy, n, n + 0.1, decision) for n in range(count)]


def report(history: History, stuck: tuple[str, ...] = ()) -> Report:
    return Report(7, 10.0, history, check(history), stuck)


def test_enough_requests_and_nothing_wrong_is_a_pass():
    verdict = report(History(requests("a", 500) + requests("b", 700)))
    assert verdict.passed
    assert str(verdict).endswith("PASSED")


def test_a_run_below_the_minimum_rate_of_one_proxy_is_void_and_failed():
    enough = int(10.0 * MINIMUM_PER_SECOND)
    assert not report(History(requests("a", enough) + requests("b", enough + 200))).is_void
    verdict = report(History(requests("a", enough - 1) + requests("b", enough + 200)))
    assert verdict.is_void
    assert not verdict.passed
    assert "VOID" in str(verdict)


def test_requests_that_were_not_decided_do_not_count():
    undecided = requests("a", 5000, Decision.UNAVAILABLE)
    assert report(History(undecided + requests("a", 10))).is_void


def test_a_run_without_requests_is_void():
    assert report(History()).is_void


def test_a_violation_fails_the_run_and_is_told():
    change = Change("alice", 0, 1, "a", -2, -1, -1, Outcome.ACKNOWLEDGED)
    verdict = report(History(requests("a", 600), [change]))
    assert not verdict.passed
    assert "600 accepted a password whose replacement was acknowledged" in str(verdict)


def test_a_run_that_got_stuck_is_failed():
    verdict = report(History(requests("a", 600)), ("no recovery",))
    assert not verdict.passed
    assert "no recovery" in str(verdict)
