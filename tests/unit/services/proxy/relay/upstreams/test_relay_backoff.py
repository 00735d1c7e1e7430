from random import Random

import pytest

from vecguard.proxy.relay.upstreams.backoff import Backoff, BackoffPolicy


def delays(count, seed=1):
    backoff = Backoff(BackoffPolicy(first_seconds=0.1, most_seconds=5.0), Random(seed))
    return [backoff.failed() for _ in range(count)]


def test_delays_grow_to_the_longest_within_their_jitter():
    expected = [min(0.1 * 1.6**number, 5.0) for number in range(30)]
    for seconds, exact in zip(delays(30), expected, strict=True):
        assert seconds == pytest.approx(exact, rel=0.2)


def test_processes_that_lost_the_same_backend_come_back_at_different_times():
    assert len({delays(1, seed)[0] for seed in range(50)}) == 50


def test_a_success_begins_anew():
    backoff = Backoff(BackoffPolicy(), Random(1))
    for _ in range(20):
        backoff.failed()
    backoff.succeeded()
    assert backoff.failed() < 0.13
