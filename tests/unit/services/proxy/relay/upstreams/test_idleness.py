from dataclasses import dataclass

from vecguard.idle_watch import LOOKS
from vecguard.proxy.relay.upstreams.idleness import Idleness


@dataclass(eq=False)
class Link:
    calls_begun: int = 1
    calls_open: int = 0


def looks(links, count):
    idleness = Idleness()
    idleness.surplus(links)  # how it was at the beginning
    return [idleness.surplus(links) for _ in range(count)]


def test_a_connection_is_idle_after_a_whole_period():
    first, second = Link(calls_open=1), Link()
    assert looks([first, second], LOOKS) == [[]] * (LOOKS - 1) + [[second]]


def test_a_busy_connection_makes_the_first_one_surplus():
    first, second = Link(), Link(calls_open=1)
    assert looks([first, second], LOOKS)[-1] == [first]


def test_the_first_of_idle_ones_stays():
    links = [Link(), Link(), Link()]
    assert looks(links, LOOKS)[-1] == links[1:]


def test_the_only_one_stays():
    assert looks([Link()], 3 * LOOKS) == [[]] * (3 * LOOKS)


def test_a_call_between_two_looks_counts_though_it_is_over():
    links = [Link(calls_open=1), Link()]
    idleness = Idleness()
    for _ in range(5):
        for _ in range(LOOKS):
            assert idleness.surplus(links) == []
        links[1].calls_begun += 1


def test_nothing_is_remembered_of_connections_that_are_gone():
    links = [Link(), Link()]
    idleness = Idleness()
    while not (surplus := idleness.surplus(links)):
        pass
    assert surplus == [links[1]]
    assert idleness._watches.keys() == {links[0]}
