import asyncio

import pytest

from vecguard.proxy.authentication.login_counts import Result
from vecguard.proxy.health import login_history
from vecguard.proxy.health.login_history import INTERVAL_SECONDS, INTERVALS, LoginSampler

KNOWN = (Result.ACCEPTED, "known")
WRONG = (Result.REFUSED, "wrong_credentials")


class Counted:
    def __init__(self):
        self.now = 1000.0
        self.counts = {KNOWN: 7, WRONG: 0}
        self.sampler = LoginSampler(lambda: self.counts, lambda: self.now)

    def interval(self, *, known=0, wrong=0, intervals=1):
        self.counts[KNOWN] += known
        self.counts[WRONG] += wrong
        self.now += INTERVAL_SECONDS * intervals
        self.sampler.sample()

    def history(self):
        return self.sampler.history()


@pytest.fixture
def counted():
    return Counted()


def test_each_interval_has_what_was_counted_in_it(counted):
    counted.interval(known=3)
    counted.interval(known=1, wrong=2)
    counted.interval()
    assert counted.history().counts == {
        "accepted": {"known": (3, 1, 0)},
        "refused": {"wrong_credentials": (0, 2, 0)},
    }
    assert counted.history().last_interval == 202


def test_what_did_not_occur_is_left_out(counted):
    counted.interval()
    assert counted.history().counts == {}


def test_a_reason_that_is_new_counts_from_nothing(counted):
    counted.counts[Result.FAILED, "internal"] = 4
    counted.interval()
    assert counted.history().counts == {"failed": {"internal": (4,)}}


def test_a_second_sample_in_an_interval_changes_nothing(counted):
    counted.interval(known=3)
    counted.counts[KNOWN] += 1
    counted.sampler.sample()
    assert counted.history().counts == {"accepted": {"known": (3,)}}
    counted.interval()
    assert counted.history().counts == {"accepted": {"known": (3, 1)}}


def test_intervals_in_which_the_process_was_paused_are_empty(counted):
    counted.interval(known=1)
    counted.interval(known=2, intervals=3)
    assert counted.history().counts == {"accepted": {"known": (1, 0, 0, 2)}}


def test_the_oldest_intervals_are_forgotten(counted):
    counted.interval(wrong=1)
    for _ in range(INTERVALS):
        counted.interval(known=1)
    assert counted.history().counts == {"accepted": {"known": (1,) * INTERVALS}}
    counted.interval(known=1, intervals=10**9)
    assert counted.history().counts == {"accepted": {"known": (0,) * (INTERVALS - 1) + (1,)}}


async def test_it_samples_by_itself(counted, monkeypatch):
    waits = []

    async def sleep(seconds):
        waits.append(seconds)
        counted.now += seconds
        counted.counts[KNOWN] += 1
        if len(waits) == 3:
            raise asyncio.CancelledError

    counted.now += 1.5
    monkeypatch.setattr(login_history.asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await counted.sampler.run()
    assert waits == [3.5, 5.0, 5.0]
    assert counted.history().counts == {"accepted": {"known": (1, 1)}}
