"""What goes next when items of several keys wait."""

import pytest

from vecguard.proxy.relay.round_robin import RoundRobin


def waiting(*items):
    """A line of items, each of which begins with its key."""
    line = RoundRobin()
    for item in items:
        line.enter(item[0], item)
    return line


def taken(line):
    while line.total:
        yield line.take_next()


def test_keys_take_turns_and_the_items_of_one_stay_in_order():
    line = waiting("a1", "a2", "a3", "b1", "b2", "c1")
    assert list(taken(line)) == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert (line.total, list(line.keys)) == (0, [])


def test_a_key_that_is_passed_over_keeps_its_turn():
    line = waiting("a1", "b1", "b2")
    assert line.take("b") == "b1"
    assert list(taken(line)) == ["a1", "b2"]


def test_a_key_that_comes_again_waits_behind_all_others():
    line = waiting("a1", "b1")
    assert line.take_next() == "a1"
    line.enter("a", "a2")
    assert list(taken(line)) == ["b1", "a2"]


def test_items_that_left_are_counted_no_more():
    line = waiting("a1", "a2", "b1")
    left = [line.leave(item[0], item) for item in ("a1", "b1", "b1", "a3", "c1")]
    assert left == [True, True, False, False, False]
    assert (line.total, line.count("a"), line.count("b")) == (1, 1, 0)
    assert line.clear() == ["a2"]
    assert (line.total, line.count("a")) == (0, 0)
    with pytest.raises(KeyError):
        line.take("a")
