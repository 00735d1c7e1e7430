"""Twenty seconds of the soak, and proof that its judges can say no."""

import grpc
import pytest

from tests.soak.call_log import CallLog
from tests.soak.memory import slope_bytes_per_second
from tests.soak.run import Plan, run

MIB = 2**20


@pytest.mark.alone
async def test_twenty_seconds_of_everything_with_restarts_and_floods_lose_no_call(tmp_path):
    # So short a time judges leaks of the size of messages only; `make soak` judges the rest.
    plan = Plan(
        seconds=20.0, clients=6, restart_seconds=6.0, flood_seconds=2.0, growth_bytes=48 * MIB
    )
    report = await run(tmp_path, plan, seed=5, tell=print)
    assert report.passed, str(report)
    assert report.call_log.outages >= 2
    assert report.call_log.floods >= 2
    assert report.call_log.flooded
    assert report.call_log.calls("expected") > 100


def test_a_failure_without_an_event_is_unexplained():
    call_log = CallLog()
    call_log.end("unary", call_log.begin("unary"), grpc.StatusCode.UNAVAILABLE, expected=False)
    assert not call_log.are_balanced
    assert call_log.unexplained == ["unary: UNAVAILABLE "]


@pytest.mark.parametrize(
    ("status", "balanced"),
    [(grpc.StatusCode.UNAVAILABLE, True), (grpc.StatusCode.INTERNAL, False)],
)
def test_a_restart_explains_its_own_statuses_alone(status, balanced):
    call_log = CallLog()
    began = call_log.begin("unary")
    call_log.outage_begins()
    call_log.outage_ends()
    call_log.end("unary", began, status, expected=False)
    assert call_log.are_balanced is balanced


def test_a_restart_explains_nothing_that_came_after_it():
    call_log = CallLog()
    call_log.outage_begins()
    call_log.outage_ends()
    call_log.end("unary", call_log.begin("unary"), grpc.StatusCode.UNAVAILABLE, expected=False)
    assert not call_log.are_balanced


def test_a_limit_explains_what_it_is_said_to():
    call_log = CallLog()
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    call_log.end("unary", call_log.begin("unary"), exhausted, expected=False, limited=True)
    assert call_log.are_balanced
    call_log.end("unary", call_log.begin("unary"), exhausted, expected=False)
    assert not call_log.are_balanced


def test_a_call_that_never_ended_leaves_the_books_unbalanced():
    call_log = CallLog()
    call_log.begin("unary")
    assert not call_log.are_balanced


def test_the_slope_sees_a_leak_and_no_peaks():
    leak = [(second, second * 1000 + (50 * MIB if second % 10 == 0 else 0)) for second in range(60)]
    level = [(second, 50 * MIB if second % 10 == 0 else 10 * MIB) for second in range(60)]
    assert slope_bytes_per_second(leak) == pytest.approx(1000, rel=0.5)
    assert slope_bytes_per_second(level) == 0
