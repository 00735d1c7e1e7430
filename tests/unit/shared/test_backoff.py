from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.backoff import Backoff, BackoffPolicy

POLICY = BackoffPolicy(first_seconds=0.1, longest_seconds=5.0)
shares = st.floats(0, 1, exclude_max=True)


def delays(count, seed=1, policy=POLICY):
    backoff = Backoff(policy, Random(seed).random)
    return [backoff.failed() for _ in range(count)]


def test_delays_grow_to_the_longest_within_their_jitter():
    expected = [min(0.1 * 1.6**number, 5.0) for number in range(30)]
    for seconds, exact in zip(delays(30), expected, strict=True):
        assert seconds == pytest.approx(exact, rel=0.2)


def test_without_jitter_each_delay_is_the_factor_longer():
    policy = BackoffPolicy(0.5, 30.0, factor=2.0, jitter=(1.0, 1.0))
    assert delays(8, policy=policy) == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


@given(shares)
def test_the_jitter_is_drawn_between_its_two_ends(share):
    backoff = Backoff(BackoffPolicy(1.0, 1.0, jitter=(0.5, 1.5)), lambda: share)
    assert backoff.failed() == pytest.approx(0.5 + share)


@given(st.integers(1, 3000), shares)
def test_delays_never_shrink_and_stay_below_the_bound(failures, share):
    backoff = Backoff(POLICY, lambda: share)
    seen = [backoff.failed() for _ in range(failures)]
    assert all(shorter <= longer for shorter, longer in pairwise(seen))
    assert max(seen) <= 5.0 * 1.2


def test_processes_that_failed_together_return_at_different_times():
    assert len({delays(1, seed)[0] for seed in range(50)}) == 50


def test_after_a_success_the_next_failure_is_the_first():
    backoff = Backoff(POLICY, Random(1).random)
    for _ in range(20):
        backoff.failed()
    backoff.succeeded()
    assert backoff.failed() < 0.13
