from tests.support.credentials import ManualClock
from tests.support.logs import every_log_line
from vecguard.observability.log import get_logger
from vecguard.observability.repeated import RepeatedFailure


def lines_of(actions):
    """What these actions on a failure (and its clock) write."""
    clock = ManualClock()
    with every_log_line() as lines:
        failure = RepeatedFailure(get_logger("test"), "it_failed", over="it_works", clock=clock)
        actions(failure, clock)
    return [{name: value for name, value in line.items() if name != "log_level"} for line in lines]


def test_a_failure_that_repeats_is_one_line_and_its_end_counts_the_others():
    def actions(failure, _clock):
        for _ in range(5):
            failure.failed("refused", error="refused")
        failure.ended()

    assert lines_of(actions) == [
        {"event": "it_failed", "error": "refused"},
        {"event": "it_works", "repeated": 4},
    ]


def test_another_cause_is_told_at_once():
    def actions(failure, _clock):
        for cause in ("refused", "refused", "full", "refused", "full"):
            failure.failed(cause, error=cause)

    assert lines_of(actions) == [
        {"event": "it_failed", "error": "refused"},
        {"event": "it_failed", "error": "full", "repeated": 1},
    ]


def test_a_failure_that_lasts_is_told_each_minute_with_a_count():
    def actions(failure, clock):
        for _ in range(121):
            failure.failed("refused")
            clock.now += 1

    assert lines_of(actions) == [
        {"event": "it_failed"},
        {"event": "it_failed", "repeated": 59},
        {"event": "it_failed", "repeated": 59},
    ]


def test_one_that_comes_and_goes_does_not_fill_the_log():
    def actions(failure, _clock):
        for _ in range(100):
            failure.failed("refused")
            failure.ended()

    assert lines_of(actions) == [{"event": "it_failed"}, {"event": "it_works"}]


def test_causes_that_never_repeat_do_not_fill_the_log():
    def actions(failure, _clock):
        for number in range(100):
            failure.failed(f"cause {number}")

    assert len(lines_of(actions)) == 8


def test_what_never_failed_has_no_end():
    assert lines_of(lambda failure, _clock: failure.ended()) == []
