"""The open model itself: nothing here needs a server."""

import asyncio
from collections import defaultdict, deque
from random import Random

import grpc
import pytest

from tests.load.arrivals import Arrivals, Pattern
from tests.load.driver import Driver
from tests.load.errors import LoadError
from tests.load.outcome import ANSWERED, WRONG_PASSWORD_ACCEPTED
from tests.load.raw import read
from tests.load.record import Record
from tests.load.report import write_html
from tests.load.sizing import filled
from tests.load.thresholds import Threshold
from tests.load.verdict import ExitCode, judge
from tests.support.waiting import eventually


class _Scripted:
    """Answers attempts when the test says so."""

    name = "scripted"

    def __init__(self, *outcomes):
        self.outcomes = deque(outcomes)
        self.begun = 0
        self.gate = asyncio.Event()

    async def prepare(self):
        pass

    async def attempt(self):
        self.begun += 1
        await self.gate.wait()
        outcome = self.outcomes.popleft() if self.outcomes else ANSWERED
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


async def _until(condition):
    async def holds():
        return condition()

    await eventually(holds)


def _recorded(*, latencies=(0.01,), lag=0.0, outcome=ANSWERED):
    record = Record("known", seconds=10)
    for number, latency in enumerate(latencies):
        record.begun(lag)
        record.ended(outcome, number, latency)
    return record


def test_arrivals_keep_their_rate_and_their_order_and_come_again_with_the_same_seed():
    arrivals = Arrivals(rate=100, seconds=100)
    offsets = list(arrivals.offsets(Random(1)))
    assert offsets == sorted(offsets)
    assert offsets[-1] < 100
    assert len(offsets) == pytest.approx(10_000, rel=0.05)
    assert offsets == list(arrivals.offsets(Random(1)))
    assert offsets != list(arrivals.offsets(Random(2)))


def test_even_arrivals_have_the_same_gap():
    assert list(Arrivals(2, 2, Pattern.EVEN).offsets(Random(0))) == [0.0, 0.5, 1.0, 1.5]


async def test_attempts_are_made_although_none_is_answered():
    scenario = _Scripted()
    record = Record("scripted", seconds=0.05)
    arrivals = Arrivals(1000, 0.05, Pattern.EVEN)
    running = asyncio.create_task(Driver().run({scenario: arrivals}, {scenario: record}, 0))
    await _until(lambda: scenario.begun == 50)
    assert record.under_way == 50
    assert record.attempts == 0
    scenario.gate.set()
    await running
    assert (record.attempts, record.under_way) == (50, 0)


async def test_latency_counts_from_when_an_attempt_was_due():
    """A clock that jumps by ten seconds: those who were due meanwhile have waited."""
    now = 0.0
    scenario = _Scripted()
    scenario.gate.set()
    begin = scenario.attempt

    async def attempt():
        nonlocal now
        if scenario.begun == 0:
            now += 10.0  # the first attempt holds up everything in this process
        return await begin()

    scenario.attempt = attempt
    record = Record("scripted", seconds=1)
    arrivals = Arrivals(10, 1, Pattern.EVEN)
    driver = Driver(clock=lambda: now)

    await driver.run({scenario: arrivals}, {scenario: record}, 0)
    assert record.attempts == 10
    # Due at 0.0, 0.1, ... 0.9; all of them ended at 10.
    assert record.latencies.percentile_ms(1) == pytest.approx(9100, rel=0.01)
    assert record.latencies.max_ms == pytest.approx(10_000, rel=0.01)
    assert record.lags.max_ms == pytest.approx(9900, rel=0.01)


async def test_attempts_over_the_bound_are_not_made_and_count_as_failed():
    scenario = _Scripted()
    record = Record("scripted", seconds=0.02)
    driver = Driver(most_under_way=5)
    running = asyncio.create_task(
        driver.run({scenario: Arrivals(1000, 0.02, Pattern.EVEN)}, {scenario: record}, 0)
    )
    await _until(lambda: record.attempts == 15)
    assert scenario.begun == 5
    scenario.gate.set()
    await running
    assert record.outcomes == {"not made": 15, "ok": 5}
    assert record.failed == 15


async def test_a_call_that_fails_is_a_failed_attempt_and_not_the_end():
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata()
    )
    scenario = _Scripted(error)
    scenario.gate.set()
    record = Record("scripted", seconds=0.01)
    arrivals = Arrivals(200, 0.01, Pattern.EVEN)
    await Driver().run({scenario: arrivals}, {scenario: record}, 0)
    assert record.outcomes == {"unavailable": 1, "ok": 1}
    assert record.failed == 1


@pytest.mark.parametrize("text", ["known.p99_ms", "p99_ms<5", "known.p99_ms=5", "known.p99_ms<x"])
def test_a_threshold_of_another_form_is_refused(text):
    with pytest.raises(ValueError, match="is not like"):
        Threshold.parse(text)


@pytest.mark.parametrize("text", ["unknown.p99_ms<5", "known.p98_ms<5"])
def test_a_threshold_for_nothing_never_passes(text):
    with pytest.raises(LoadError):
        judge([_recorded()], [Threshold.parse(text)], most_lag_ms=100)


def test_a_run_fails_when_a_threshold_is_missed():
    record = _recorded(latencies=[0.001] * 98 + [0.2] * 2)
    kept, missed = Threshold.parse("known.p50_ms<=2"), Threshold.parse("known.p99_ms < 50")
    assert judge([record], [kept], most_lag_ms=100).code is ExitCode.PASSED
    assert judge([record], [kept, missed], most_lag_ms=100).code is ExitCode.FAILED


def test_a_wrong_password_that_is_accepted_fails_without_any_threshold():
    record = _recorded(outcome=WRONG_PASSWORD_ACCEPTED)
    assert judge([record], [], most_lag_ms=100).code is ExitCode.FAILED


def test_a_run_without_attempts_fails():
    assert judge([Record("known", 10)], [], most_lag_ms=100).code is ExitCode.FAILED


def test_a_run_whose_own_process_was_late_is_void():
    record = _recorded(lag=0.5)
    assert judge([record], [], most_lag_ms=100).code is ExitCode.VOID


def test_a_report_needs_no_network_and_runs_nothing_that_it_is_told(tmp_path):
    record = _recorded(latencies=[0.001] * 1000)
    path = tmp_path / "report.html"
    verdict = judge([record], [], most_lag_ms=100)
    write_html(path, [record], {"fact": "<script>alert(1)</script>"}, verdict, ["a:1"])
    text = path.read_text()
    assert "<script>alert(1)" not in text
    assert "<script src" not in text
    assert "<link" not in text.replace('"<link', "")
    assert text.count("Plotly.newPlot(") >= 3
    assert "known" in text


def test_a_report_has_a_gap_where_nothing_was_due(tmp_path):
    record = Record("known", 3)
    for due in (0.5, 2.5):
        record.begun(0)
        record.ended(ANSWERED, due, 0.004)
    path = tmp_path / "report.html"
    write_html(path, [record], {}, judge([record], [], most_lag_ms=100), ["a:1"])
    drawn = path.read_text().replace(" ", "")
    ms = record.slices[0].latencies.max_ms
    assert drawn.count(f'"x":[0.0,1.0,2.0],"y":[{ms},null,{ms}]') == 3
    assert drawn.count('"x":[0.0,1.0,2.0],"y":[1.0,0.0,1.0]') == 1


_H2LOAD = """
finished in 1.00s, 1000.50 req/s, 10KB/s
requests: 100 total, 100 started, 100 done, 100 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 100 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 4.20KB (4300) total, 1.1KB (1100) headers (space savings 90.00%), 700B ({data}) data
"""


def test_raw_throughput_counts_only_if_every_answer_was_right():
    assert read(_H2LOAD.format(data=700), 100, 7).rps == 1000.5
    with pytest.raises(LoadError, match="not all were right"):
        read(_H2LOAD.format(data=693), 100, 7)
    with pytest.raises(LoadError, match="did not do its work"):
        read("h2load: connection refused", 100, 7)


def test_the_table_of_the_capacity_page_is_replaced_and_the_rest_stays():
    figures = defaultdict(lambda: 100.0, {"proxy.call.cpu_us": 50.0})
    page = "before\n<!-- figures: begin -->\nstale\n<!-- figures: end -->\nafter\n"
    once = filled(page, figures, "note 1")
    assert once.startswith("before\n")
    assert once.endswith("-->\nafter\n")
    assert "stale" not in once
    assert "| known logins a second and core, at 75 % | 15,000 |" in once
    assert filled(once, figures, "note 1") == once
    with pytest.raises(ValueError, match="no table"):
        filled("no marks", figures, "")
