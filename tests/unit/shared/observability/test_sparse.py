"""What clients can bring about as often as they like fills no log."""

import pytest
import structlog

from tests.support.credentials import ManualClock
from vecguard.observability.log import get_logger
from vecguard.observability.sparse import SparseLog


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def log(clock):
    return SparseLog(get_logger("test"), most=3, clock=clock)


@pytest.fixture
def lines():
    with structlog.testing.capture_logs() as lines:
        yield lines


def test_what_is_beyond_the_bound_is_counted_in_the_next_line(log, lines, clock):
    for number in range(10):
        log.info("fault", number=number)
    assert [line["number"] for line in lines] == [0, 1, 2]
    clock.advance(60)
    log.info("fault", number=10)
    log.info("fault", number=11)
    assert [line.get("left_out") for line in lines[3:]] == [7, None]


def test_events_have_bounds_of_their_own(log, lines):
    for event in ("fault", "vanished"):
        for _ in range(10):
            log.info(event)
    assert [line["event"] for line in lines] == ["fault"] * 3 + ["vanished"] * 3


def test_a_quiet_minute_leaves_nothing_behind(log, lines, clock):
    log.info("fault")
    clock.advance(60)
    log.info("fault")
    assert "left_out" not in lines[1]
