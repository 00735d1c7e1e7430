"""Any cut of a history into answers, fragments and connections gives each event once."""

import random

from hypothesis import given
from hypothesis import strategies as st

from vecguard.etcd.model import Event, KeyValue, WatchBatch
from vecguard.etcd.watch_cursor import WatchCursor
from vecguard.etcd.wire import ReplyHeader


def event(revision: int, name: int) -> Event:
    return Event("put", KeyValue(b"%d" % name, b"", revision, revision, 1, 0), None)


def feed(
    cursor: WatchCursor, events: list[Event], *, revision: int = 0, fragment: bool = False
) -> WatchBatch | None:
    return cursor.feed(ReplyHeader(revision=revision), events, fragment=fragment)


# How many events each revision has.
histories = st.lists(st.integers(0, 5), min_size=1, max_size=20)


@given(histories, st.integers(0))
def test_every_event_is_delivered_once_and_in_whole_revisions(sizes, seed):
    # One number for all choices: the number of answers is not known beforehand.
    choose = random.Random(seed)
    history = [
        event(revision, name) for revision, size in enumerate(sizes, 1) for name in range(size)
    ]
    cursor = WatchCursor(1)
    delivered: list[tuple[int, bytes]] = []
    while True:
        cursor.created(ReplyHeader(revision=len(sizes)))
        rest = [e for e in history if e.kv.mod_revision >= cursor.next_revision]
        if not rest:
            break
        # etcd sends whole revisions in each answer, and cuts an answer anywhere into fragments.
        until = choose.randint(cursor.next_revision, len(sizes))
        whole = [e for e in rest if e.kv.mod_revision <= until]
        cuts = [place for place in range(1, len(whole)) if choose.random() < 0.3]
        parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        parts = [part for part in parts if part]
        lost_from = choose.randint(0, len(parts))
        for number, part in enumerate(parts):
            if number == lost_from:
                break  # the connection broke here
            batch = feed(cursor, part, revision=len(sizes), fragment=number < len(parts) - 1)
            if batch is not None:
                assert batch.revision == batch.events[-1].kv.mod_revision
                assert cursor.next_revision == batch.revision + 1
                delivered += [(e.kv.mod_revision, e.kv.key) for e in batch.events]
                complete = [e for e in history if e.kv.mod_revision <= batch.revision]
                assert len(delivered) == len(complete)
        if lost_from == len(parts) and not whole:
            feed(cursor, [], revision=until)
    assert delivered == [(e.kv.mod_revision, e.kv.key) for e in history]


def test_progress_moves_on_only_between_whole_answers():
    cursor = WatchCursor(5)
    feed(cursor, [], revision=9)
    assert cursor.next_revision == 10
    feed(cursor, [event(10, 1)], revision=20, fragment=True)
    feed(cursor, [], revision=20)
    assert cursor.next_revision == 10


def test_the_revision_of_a_store_that_is_ahead_does_not_skip_events():
    cursor = WatchCursor(1)
    feed(cursor, [event(1, 1)], revision=100)
    assert cursor.next_revision == 2


def test_a_watch_from_now_starts_after_the_revision_of_its_creation():
    cursor = WatchCursor(0)
    cursor.created(ReplyHeader(revision=41))
    assert cursor.next_revision == 42
    cursor.created(ReplyHeader(revision=50))
    assert cursor.next_revision == 42
