from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from vecguard.proxy.authentication.fair_queue import FairQueue


def everything(_entry):
    return True


def drained(queue, is_wanted=everything):
    entries = []
    while (entry := queue.pop(is_wanted)) is not None:
        entries.append(entry)
    return entries


def filled(*entries, limit=100, limit_per_origin=100):
    queue = FairQueue(limit=limit, limit_per_origin=limit_per_origin)
    for entry in entries:
        assert queue.push(entry[0], entry) is None
    return queue


def test_origins_are_served_in_turn_each_in_its_own_order():
    assert drained(filled("a1", "a2", "a3", "b1", "c1", "c2")) == [
        "a1", "b1", "c1", "a2", "c2", "a3"
    ]  # fmt: skip


def test_a_newcomer_waits_for_one_entry_of_each_other_origin_at_most():
    queue = filled(*(f"a{number}" for number in range(50)))
    queue.pop(everything)
    queue.push("b", "b1")
    assert [queue.pop(everything) for _ in range(2)] == ["a1", "b1"]


def test_an_origin_has_only_so_many_places():
    queue = filled("a1", "a2", limit_per_origin=2)
    assert queue.push("a", "a3") == "a3"
    assert queue.push("b", "b1") is None


def test_in_a_full_queue_the_longest_line_makes_room_for_a_new_origin():
    queue = filled("a1", "a2", "a3", "b1", limit=4)
    assert queue.push("c", "c1") == "a3"
    assert drained(queue) == ["a1", "b1", "c1", "a2"]


def test_in_a_full_queue_the_longest_line_does_not_grow():
    queue = filled("a1", "a2", "b1", limit=3)
    assert queue.push("a", "a3") == "a3"
    assert drained(queue) == ["a1", "b1", "a2"]


def test_in_a_queue_full_of_equals_a_newcomer_displaces_nobody():
    queue = filled("a1", "b1", "c1", limit=3)
    assert queue.push("d", "d1") == "d1"


def test_an_abandoned_entry_keeps_its_place_and_costs_its_origin_the_turn():
    queue = filled("a1", "a2", "b1", limit_per_origin=2)
    assert queue.push("a", "a3") == "a3"
    assert drained(queue, lambda entry: entry != "a1") == ["b1", "a2"]


def with_names(*entries, limit=100, limit_per_origin=100):
    """A queue with entries such as `ax1`: origin `a`, name `x`."""
    queue = FairQueue(limit=limit, limit_per_origin=limit_per_origin)
    for entry in entries:
        assert queue.push(entry[0], entry, entry[1]) is None
    return queue


def test_within_an_origin_names_are_served_in_turn():
    queue = with_names("ax1", "ax2", "ax3", "ay1", "bx1", "az1")
    assert drained(queue) == ["ax1", "bx1", "ay1", "az1", "ax2", "ax3"]


def test_where_an_origin_has_no_place_its_name_with_the_most_makes_room_for_another():
    queue = with_names("ax1", "ax2", "ax3", "ay1", "b_1", limit_per_origin=4)
    assert queue.push("a", "az1", "z") == "ax3"
    assert queue.push("a", "ax4", "x") == "ax4"
    assert drained(queue) == ["ax1", "b_1", "ay1", "az1", "ax2"]


def test_names_that_have_one_entry_each_do_not_displace_each_other():
    queue = with_names("ax1", "ay1", limit_per_origin=2)
    assert queue.push("a", "az1", "z") == "az1"


def test_in_a_full_queue_a_new_name_of_the_longest_line_displaces_within_it():
    queue = with_names("ax1", "ax2", "ax3", "bx1", limit=4)
    assert queue.push("a", "ay1", "y") == "ax3"
    assert drained(queue) == ["ax1", "bx1", "ay1", "ax2"]


@given(
    origins=st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz")), max_size=60),
    pops=st.lists(st.booleans(), max_size=60),
    limit=st.integers(1, 10),
    limit_per_origin=st.integers(1, 10),
)
def test_it_is_never_longer_than_allowed_and_loses_nothing(origins, pops, limit, limit_per_origin):
    queue = FairQueue(limit=limit, limit_per_origin=limit_per_origin)
    inside, came_out = [], []
    for number, (origin, name) in enumerate(origins):
        entry = (origin, number, name)
        inside.append(entry)
        displaced = queue.push(origin, entry, name)
        if displaced is not None:
            inside.remove(displaced)
            came_out.append(displaced)
        if pops[number : number + 1] == [True]:
            popped = queue.pop(everything)
            assert popped is not None
            inside.remove(popped)
            came_out.append(popped)
        lengths = Counter(each[0] for each in inside)
        assert len(queue) == len(inside) <= limit
        assert all(length <= limit_per_origin for length in lengths.values())
        assert queue._lengths.longest == max(lengths.values(), default=0)
        for own, own_queue in queue._queues.items():
            names = Counter(each[2] for each in inside if each[0] == own)
            assert len(own_queue) == lengths[own]
            assert own_queue._lengths.longest == max(names.values())
    assert sorted(came_out + drained(queue)) == sorted(
        (origin, number, name) for number, (origin, name) in enumerate(origins)
    )
