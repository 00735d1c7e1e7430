from hypothesis import given
from hypothesis import strategies as st

from tests.support.logs import every_log_line
from tests.support.policies import connection_limits_with
from vecguard.proxy.http2.limits import LimitHits
from vecguard.proxy.relay.clients.connection_limits import ConnectionLimits
from vecguard.proxy.relay.limits import RelayLimit


def limited(connections, per_address, clock=lambda: 0.0):
    hits = LimitHits()
    return ConnectionLimits(
        connection_limits_with(connections=connections, connections_per_address=per_address),
        hits,
        clock=clock,
    ), hits.counts


def admitted(limits, origin):
    place = limits.enter(origin)
    if place is not None:
        place.admitted()
    return place


def test_one_origin_is_stopped_and_another_is_not():
    limits, counts = limited(10, 2)
    assert [admitted(limits, "a") is not None for _ in range(4)] == [True, True, False, False]
    assert limits.enter("b")
    assert counts[RelayLimit.CONNECTIONS_PER_ADDRESS] == 2
    assert counts[RelayLimit.CONNECTIONS] == 0
    assert (len(limits), limits.unadmitted) == (3, 1)


def test_all_together_are_stopped_and_who_leaves_makes_room():
    limits, counts = limited(3, 2)
    first = admitted(limits, "a")
    assert [admitted(limits, origin) is not None for origin in "bcd"] == [True, True, False]
    assert counts[RelayLimit.CONNECTIONS] == 1
    first.end()
    first.end()  # once more changes nothing
    assert [admitted(limits, "d") is not None for _ in range(2)] == [True, False]


def test_an_origin_that_is_gone_is_forgotten():
    limits, _ = limited(1000, 1)
    for number in range(500):
        limits.enter(str(number)).end()
    assert len(limits) == 0
    assert not limits._origins
    assert limits._levels == [{}]


class Connections:
    """Places by name, and the names of displaced ones, in order."""

    def __init__(self, limits):
        self.limits, self.places, self.gone = limits, {}, []

    def enter(self, *names):
        for name in names:
            place = self.places[name] = self.limits.enter(name[0])
            place.on_depart(lambda name=name: self.gone.append(name))


def test_the_oldest_without_an_admitted_call_makes_room_in_a_full_address():
    limits, counts = limited(10, 3)
    inside = Connections(limits)
    inside.enter("b1", "a1", "a2", "a3")
    inside.places["a1"].admitted()
    inside.enter("a4", "a5")
    assert inside.gone == ["a2", "a3"]
    assert limits.displaced == {RelayLimit.CONNECTIONS: 0, RelayLimit.CONNECTIONS_PER_ADDRESS: 2}
    assert counts[RelayLimit.CONNECTIONS_PER_ADDRESS] == 2
    assert (len(limits), limits.departing) == (4, 2)
    inside.places["a2"].admitted()  # too late
    inside.places["a2"].end()
    inside.places["a2"].end()
    assert (len(limits), limits.unadmitted, limits.departing) == (4, 3, 1)


def test_the_address_with_most_of_them_makes_room_where_the_whole_is_full():
    limits, _ = limited(5, 4)
    inside = Connections(limits)
    inside.enter("h1", "a1", "a2", "a3", "a4")
    inside.enter("b1", "c1")
    assert inside.gone == ["a1", "a2"]
    inside.places["a3"].admitted()
    inside.enter("d1")  # all have one: the address that came first
    assert inside.gone[2:] == ["h1"]


def test_it_was_full_for_a_minute_after_the_last_newcomer_without_room():
    now = 0.0
    limits, _ = limited(10, 1, lambda: now)
    limits.enter("a")
    assert not limits.was_full_lately
    limits.enter("a")
    assert limits.was_full_lately
    now = 60.0
    assert not limits.was_full_lately


def test_full_limits_are_logged_once_a_minute():
    with every_log_line() as lines:
        limits, _ = limited(10, 1)
        for _ in range(1000):
            limits.enter("a")
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
    limits, _ = limited(6, 3)
    inside, kept = [], set()

    def gone(place):
        assert place not in kept
        inside.remove(place)
        place.end()

    for kind, number, origin in steps:
        if kind == "e":
            place = limits.enter(origin)
            if place is None:
                mine = [each for each in inside if each.origin.name == origin]
                assert kept.issuperset(mine) if len(mine) == 3 else kept.issuperset(inside)
            else:
                place.on_depart(lambda place=place: gone(place))
                inside.append(place)
        elif inside:
            place = inside[number % len(inside)]
            if kind == "a":
                place.admitted()
                kept.add(place)
            else:
                kept.discard(place)
                gone(place)
        assert len(limits) == len(inside)
        assert limits.departing == 0
        assert limits.unadmitted == len([each for each in inside if each not in kept])
        waiting = [
            sum(each.origin is origin and each not in kept for each in inside)
            for origin in limits._origins.values()
        ]
        assert len(limits._levels) - 1 == max(waiting, default=0)
