from hypothesis import given
from hypothesis import strategies as st

from vecguard.etcd.rounds import ROUND_DELAYS, Rounds


@given(st.integers(1, 5), st.floats(0, 1, exclude_max=True), st.integers(1, 200))
def test_each_endpoint_is_tried_at_once_and_then_delays_stay_bounded(endpoints, jitter, failures):
    rounds = Rounds(endpoints, lambda: jitter)
    delays = [rounds.failed() for _ in range(failures)]
    assert all(delay == 0 for delay in delays[: endpoints - 1])
    assert all(0 <= delay <= ROUND_DELAYS.longest_seconds for delay in delays)
    assert all(delay > 0 for delay in delays[endpoints - 1 :: endpoints])
    rounds.succeeded()
    assert [rounds.failed() for _ in range(failures)] == delays


def test_the_delay_after_a_round_doubles_up_to_the_longest():
    rounds = Rounds(2, lambda: 0.0)
    seen = [rounds.failed() for _ in range(14)]
    assert seen == [0.0, 0.025, 0.0, 0.05, 0.0, 0.1, 0.0, 0.2, 0.0, 0.4, 0.0, 0.5, 0.0, 0.5]
