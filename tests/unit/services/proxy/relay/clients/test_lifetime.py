"""When a connection is asked to leave, by a clock that the test turns."""

from random import Random

import pytest

from tests.support.policies import lifetime_with
from vecguard.proxy.relay.clients.lifetime import Lifetime


class Clock:
    """As much of an event loop as timers need."""

    def __init__(self):
        self.now = 0.0
        self._timers = []

    def call_later(self, seconds, callback):
        timer = Timer(self.now + seconds, callback)
        self._timers.append(timer)
        return timer

    def advance(self, to):
        while due := [t for t in self._timers if t.callback is not None and t.at <= to]:
            timer = min(due, key=lambda timer: timer.at)
            self._timers.remove(timer)
            self.now = timer.at
            timer.callback()
        self.now = to


class Timer:
    def __init__(self, at, callback):
        self.at, self.callback = at, callback

    def cancel(self):
        self.callback = None


class Connection:
    def __init__(self):
        self.calls_begun = self.calls_open = 0
        self.events = []

    def __getattr__(self, name):
        return lambda: self.events.append(name)


def begun(**policy):
    clock, connection = Clock(), Connection()
    policy = lifetime_with(**{"first_call_seconds": None} | policy)
    lifetime = Lifetime(connection, policy, clock, Random(1))
    lifetime.begin()
    return lifetime, connection, clock


def test_silence_is_noticed_in_time():
    _, connection, clock = begun(greeting_seconds=10.0)
    clock.advance(9.9)
    assert connection.events == []
    clock.advance(10.0)
    assert connection.events == ["was_silent"]


def test_a_connection_without_an_admitted_call_is_noticed_in_time():
    lifetime, connection, clock = begun(first_call_seconds=60.0, idle_seconds=None)
    lifetime.greeted()
    connection.calls_begun = connection.calls_open = 5  # refused, or not decided
    clock.advance(59.9)
    assert connection.events == []
    clock.advance(60.0)
    assert connection.events == ["showed_no_call"]


def test_after_its_first_call_a_connection_is_asked_for_none():
    lifetime, connection, clock = begun(first_call_seconds=60.0, idle_seconds=None)
    lifetime.greeted()
    lifetime.admitted()
    clock.advance(1e6)
    assert connection.events == []


def test_whoever_spoke_in_time_is_not_silent():
    lifetime, connection, clock = begun(greeting_seconds=10.0, idle_seconds=None)
    lifetime.greeted()
    clock.advance(1e6)
    assert connection.events == []


def test_an_idle_connection_is_noticed_after_its_time_and_a_quarter_at_most():
    lifetime, connection, clock = begun(idle_seconds=100.0)
    lifetime.greeted()
    clock.advance(30.0)
    connection.calls_begun = 1  # it came and went between two looks
    clock.advance(149.9)
    assert connection.events == []
    clock.advance(150.0)
    assert connection.events == ["was_idle"]


def test_an_open_call_is_no_idleness_however_long_it_is():
    lifetime, connection, clock = begun(idle_seconds=100.0)
    lifetime.greeted()
    connection.calls_begun = connection.calls_open = 1
    clock.advance(10_000.0)
    assert connection.events == []
    connection.calls_open = 0
    clock.advance(10_125.0)
    assert connection.events == ["was_idle"]


@pytest.mark.parametrize("seed", range(20))
def test_an_age_is_reached_give_or_take_a_tenth_and_then_the_grace(seed):
    clock, connection = Clock(), Connection()
    policy = lifetime_with(
        first_call_seconds=None, idle_seconds=None, age_seconds=1000.0, grace_seconds=50.0
    )
    lifetime = Lifetime(connection, policy, clock, Random(seed))
    lifetime.begin()
    lifetime.greeted()
    clock.advance(899.0)
    assert connection.events == []
    clock.advance(1101.0)
    assert connection.events[:1] == ["grew_old"]
    clock.advance(1151.0)
    assert connection.events == ["grew_old", "outlived"]


def test_a_connection_that_is_gone_is_told_nothing():
    lifetime, connection, clock = begun(idle_seconds=10.0, age_seconds=10.0, grace_seconds=1.0)
    lifetime.greeted()
    lifetime.end()
    clock.advance(1000.0)
    assert connection.events == []
