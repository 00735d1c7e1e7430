from hypothesis import given
from hypothesis import strategies as st

from tests.support.logs import every_log_line
from vecguard.proxy.http2.limits import Limit, LimitHits
from vecguard.proxy.relay.clients.doorway import Doorway, DoorwayPolicy


def doorway(connections, per_address, clock=lambda: 0.0):
    hits = LimitHits()
    return Doorway(DoorwayPolicy(connections, per_address), hits, clock=clock), hits.counts


def admitted(door, origin):
    visit = door.enter(origin)
    if visit is not None:
        visit.admitted()
    return visit


def test_one_origin_is_stopped_and_another_is_not():
    door, counts = doorway(10, 2)
    assert [admitted(door, "a") is not None for _ in range(4)] == [True, True, False, False]
    assert door.enter("b")
    assert counts[Limit.CONNECTIONS_PER_ADDRESS] == 2
    assert counts[Limit.CONNECTIONS] == 0
    assert (len(door), door.unadmitted) == (3, 1)


def test_all_together_are_stopped_and_who_leaves_makes_room():
    door, counts = doorway(3, 2)
    first = admitted(door, "a")
    assert [admitted(door, origin) is not None for origin in "bcd"] == [True, True, False]
    assert counts[Limit.CONNECTIONS] == 1
    first.end()
    first.end()  # once more changes nothing
    assert [admitted(door, "d") is not None for _ in range(2)] == [True, False]


def test_an_origin_that_is_gone_is_forgotten():
    door, _ = doorway(1000, 1)
    for number in range(500):
        door.enter(str(number)).end()
    assert len(door) == 0
    assert not door._origins
    assert door._levels == [{}]


class Inside:
    """Visits by name, and those that had to go, in order."""

    def __init__(self, door):
        self.door, self.visits, self.gone = door, {}, []

    def enter(self, *names):
        for name in names:
            visit = self.visits[name] = self.door.enter(name[0])
            visit.on_depart(lambda name=name: self.gone.append(name))


def test_the_oldest_without_an_admitted_call_makes_room_in_a_full_address():
    door, counts = doorway(10, 3)
    inside = Inside(door)
    inside.enter("b1", "a1", "a2", "a3")
    inside.visits["a1"].admitted()
    inside.enter("a4", "a5")
    assert inside.gone == ["a2", "a3"]
    assert door.displaced == {Limit.CONNECTIONS: 0, Limit.CONNECTIONS_PER_ADDRESS: 2}
    assert counts[Limit.CONNECTIONS_PER_ADDRESS] == 2
    assert (len(door), door.departing) == (4, 2)
    inside.visits["a2"].admitted()  # too late
    inside.visits["a2"].end()
    inside.visits["a2"].end()
    assert (len(door), door.unadmitted, door.departing) == (4, 3, 1)


def test_the_address_with_most_of_them_makes_room_where_the_whole_is_full():
    door, _ = doorway(5, 4)
    inside = Inside(door)
    inside.enter("h1", "a1", "a2", "a3", "a4")
    inside.enter("b1", "c1")
    assert inside.gone == ["a1", "a2"]
    inside.visits["a3"].admitted()
    inside.enter("d1")  # all have one: the address that came first
    assert inside.gone[2:] == ["h1"]


def test_it_was_full_for_a_minute_after_the_last_newcomer_without_room():
    now = 0.0
    door, _ = doorway(10, 1, lambda: now)
    door.enter("a")
    assert not door.was_full_lately
    door.enter("a")
    assert door.was_full_lately
    now = 60.0
    assert not door.was_full_lately


def test_a_full_doorway_is_told_in_the_log_once_a_minute():
    with every_log_line() as lines:
        door, _ = doorway(10, 1)
        for _ in range(1000):
            door.enter("a")
    (line,) = lines
    assert line == {
        "event": "connections_full",
        "log_level": "warning",
        "limit": "connections_per_address",
        "newcomer": "a",
        "displaced": "a",
        "connections": 1,
        "unadmitted": 1,
    }


@given(st.lists(st.tuples(st.sampled_from("eax"), st.integers(0, 9), st.sampled_from("abcd"))))
def test_the_counts_are_right_whatever_happens(steps):
    door, _ = doorway(6, 3)
    inside, kept = [], set()

    def gone(visit):
        assert visit not in kept
        inside.remove(visit)
        visit.end()

    for kind, number, origin in steps:
        if kind == "e":
            visit = door.enter(origin)
            if visit is None:
                mine = [each for each in inside if each.origin.name == origin]
                assert kept.issuperset(mine) if len(mine) == 3 else kept.issuperset(inside)
            else:
                visit.on_depart(lambda visit=visit: gone(visit))
                inside.append(visit)
        elif inside:
            visit = inside[number % len(inside)]
            if kind == "a":
                visit.admitted()
                kept.add(visit)
            else:
                kept.discard(visit)
                gone(visit)
        assert len(door) == len(inside)
        assert door.departing == 0
        assert door.unadmitted == len([each for each in inside if each not in kept])
        waiting = [
            sum(each.origin is origin and each not in kept for each in inside)
            for origin in door._origins.values()
        ]
        assert len(door._levels) - 1 == max(waiting, default=0)
