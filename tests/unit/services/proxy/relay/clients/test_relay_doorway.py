from services.proxy.http2.limits import Limit, LimitHits
from services.proxy.relay.clients.doorway import Doorway, DoorwayPolicy


def doorway(connections, per_address):
    hits = LimitHits()
    return Doorway(DoorwayPolicy(connections, per_address), hits), hits.counts


def test_one_origin_is_stopped_and_another_is_not():
    door, counts = doorway(10, 2)
    assert [door.enter("a") is not None for _ in range(4)] == [True, True, False, False]
    assert door.enter("b")
    assert counts[Limit.CONNECTIONS_PER_ADDRESS] == 2
    assert counts[Limit.CONNECTIONS] == 0
    assert len(door) == 3


def test_all_together_are_stopped_and_who_leaves_makes_room():
    door, counts = doorway(3, 2)
    first = door.enter("a")
    assert [door.enter(origin) is not None for origin in "bcd"] == [True, True, False]
    assert counts[Limit.CONNECTIONS] == 1
    first.end()
    first.end()  # once more changes nothing
    assert [door.enter("d") is not None for _ in range(2)] == [True, False]


def test_an_origin_that_is_gone_is_forgotten():
    door, _ = doorway(1000, 1)
    for number in range(500):
        door.enter(str(number)).end()
    assert len(door) == 0
    assert not door._by_origin
