"""Watches are bounded, and no origin can take the places of all others."""

from contextlib import ExitStack

import pytest

from vecguard.errors import OverloadedError
from vecguard.proxy.health.watch_limit import WatchLimit


@pytest.fixture
def limit():
    return WatchLimit(4)


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


def places(limit, stack, origin, count):
    return [stack.enter_context(limit.place(origin)) for _ in range(count)]


def test_one_origin_may_hold_all_places_and_no_more(limit, stack):
    held = places(limit, stack, "a", 4)
    with pytest.raises(OverloadedError) as refusal:
        stack.enter_context(limit.place("a"))
    assert refusal.value.retry_after_seconds
    assert not any(place.is_set() for place in held)
    assert len(limit) == 4


def test_a_newcomer_takes_the_newest_place_of_the_origin_that_holds_most(limit, stack):
    held = places(limit, stack, "a", 4)
    mine = places(limit, stack, "b", 2)
    assert [place.is_set() for place in held] == [False, False, True, True]
    assert not any(place.is_set() for place in mine)
    with pytest.raises(OverloadedError):
        stack.enter_context(limit.place("b"))
    assert len(limit) == 4


def test_a_place_is_free_when_its_call_is_over(limit, stack):
    with ExitStack() as early:
        places(limit, early, "a", 4)
        places(limit, early, "b", 1)
    assert len(limit) == 0
    assert not any(place.is_set() for place in places(limit, stack, "a", 4))
