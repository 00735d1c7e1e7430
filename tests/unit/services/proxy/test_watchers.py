"""Places of long calls: bounded, and kept from nobody."""

from contextlib import ExitStack

import pytest

from vecguard.errors import OverloadedError
from vecguard.proxy.watchers import Watchers


@pytest.fixture
def watchers():
    return Watchers(4)


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


def places(watchers, stack, origin, count):
    return [stack.enter_context(watchers.place(origin)) for _ in range(count)]


def test_one_origin_may_hold_all_places_and_no_more(watchers, stack):
    held = places(watchers, stack, "a", 4)
    with pytest.raises(OverloadedError) as refusal:
        stack.enter_context(watchers.place("a"))
    assert refusal.value.retry_after_seconds
    assert not any(place.is_set() for place in held)
    assert len(watchers) == 4


def test_a_newcomer_takes_the_newest_place_of_whoever_holds_most(watchers, stack):
    held = places(watchers, stack, "a", 4)
    mine = places(watchers, stack, "b", 2)
    assert [place.is_set() for place in held] == [False, False, True, True]
    assert not any(place.is_set() for place in mine)
    with pytest.raises(OverloadedError):
        stack.enter_context(watchers.place("b"))
    assert len(watchers) == 4


def test_a_place_is_free_when_its_call_is_over(watchers, stack):
    with ExitStack() as early:
        places(watchers, early, "a", 4)
        places(watchers, early, "b", 1)
    assert len(watchers) == 0
    assert not any(place.is_set() for place in places(watchers, stack, "a", 4))
