import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.proxy.authentication.buckets import Buckets, Rate, TokenBucket

RATE = Rate(burst=3, per_second=2.0)


def test_a_burst_passes_and_then_one_token_comes_at_a_time():
    bucket = TokenBucket(RATE)
    for _ in range(3):
        assert bucket.wait_seconds(100.0) == 0
        bucket.take(100.0)
    assert bucket.wait_seconds(100.0) == pytest.approx(0.5)
    assert bucket.wait_seconds(100.4) == pytest.approx(0.1)
    assert bucket.wait_seconds(100.5) == pytest.approx(0)


def test_a_bucket_never_owes_more_than_it_holds():
    bucket = TokenBucket(RATE)
    for _ in range(1000):
        bucket.take(100.0)
    assert bucket.wait_seconds(100.0) == pytest.approx(0.5)


@given(
    burst=st.integers(1, 50),
    per_second=st.floats(0.01, 1000),
    pauses=st.lists(st.floats(0, 10), min_size=1, max_size=100),
)
def test_no_interval_sees_more_than_the_burst_and_what_flows_in(burst, per_second, pauses):
    bucket = TokenBucket(Rate(burst, per_second))
    now, taken = 1000.0, []
    for pause in pauses:
        now += pause
        if bucket.wait_seconds(now) <= 0:
            bucket.take(now)
            taken.append(now)
    for first, begin in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + (taken[last] - begin) * per_second + 1e-3


@given(burst=st.integers(1, 50), per_second=st.floats(0.01, 1000), takes=st.integers(1, 100))
def test_after_the_wait_that_was_told_there_is_a_token(burst, per_second, takes):
    bucket = TokenBucket(Rate(burst, per_second))
    for _ in range(takes):
        bucket.take(1000.0)
    wait = bucket.wait_seconds(1000.0)
    assert bucket.wait_seconds(1000.0 + wait + 1e-6) == 0


def test_each_key_has_a_bucket_of_its_own():
    buckets = Buckets(RATE, max_tracked=10)
    for _ in range(3):
        buckets.take("a", 100.0)
    assert buckets.wait_seconds("a", 100.0) > 0
    assert buckets.wait_seconds("b", 100.0) == 0


def test_a_bucket_is_full_again_after_its_time_or_when_it_is_refilled():
    buckets = Buckets(RATE, max_tracked=10)
    buckets.take("a", 100.0)
    assert not buckets.is_full("a", 100.4)
    assert buckets.is_full("a", 100.5)
    buckets.take("a", 100.0)
    buckets.refill("a")
    assert buckets.is_full("a", 100.0)


def test_a_flood_of_keys_takes_no_more_memory_than_allowed():
    buckets = Buckets(RATE, max_tracked=10)
    for number in range(1000):
        buckets.take(number, 100.0)
    assert len(buckets) == 10
