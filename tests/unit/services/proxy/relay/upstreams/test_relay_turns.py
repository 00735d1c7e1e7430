"""Whose call goes next when calls of several users wait."""

import pytest

from services.proxy.relay.upstreams.turns import Turns


class Call:
    def __init__(self, caller):
        self.caller = caller


def waiting(*callers):
    turns, calls = Turns(), [Call(caller) for caller in callers]
    for call in calls:
        turns.enter(call)
    return turns, calls


def taken(turns):
    while turns.total:
        yield turns.take(next(iter(turns.callers)))


def test_callers_take_turns_and_the_calls_of_one_stay_in_order():
    turns, (a1, a2, a3, b1, b2, c1) = waiting("a", "a", "a", "b", "b", "c")
    assert list(taken(turns)) == [a1, b1, c1, a2, b2, a3]
    assert (turns.total, list(turns.callers)) == (0, [])


def test_a_caller_who_is_passed_over_keeps_the_turn():
    turns, (a1, b1, b2) = waiting("a", "b", "b")
    assert turns.take("b") is b1
    assert list(taken(turns)) == [a1, b2]


def test_calls_that_wait_no_more_are_counted_no_more():
    turns, (a1, a2, b1) = waiting("a", "a", "b")
    for call in (a1, b1, b1, Call("a"), Call("c")):
        turns.leave(call)
    assert (turns.total, turns.count("a"), turns.count("b")) == (1, 1, 0)
    assert turns.clear() == [a2]
    assert (turns.total, turns.count("a")) == (0, 0)
    with pytest.raises(KeyError):
        turns.take("a")
