import asyncio
from contextlib import aclosing

import pytest

from tests.support.etcd import running_etcd
from tests.support.etcd_administration import compact
from tests.support.logs import every_log_line
from tests.support.tcp_relay import TcpRelay
from tests.support.waiting import eventually
from vecguard.etcd import (
    CompactedError,
    Compare,
    Delete,
    EtcdClient,
    EtcdOutcomeUnknownError,
    EtcdUnavailableError,
    Event,
    Put,
)
from vecguard.etcd.failure import AttemptError
from vecguard.etcd.model import key_range
from vecguard.etcd.watch import Watcher

DEADLINE_SECONDS = 60


async def collect(client: EtcdClient, key: bytes, last: bytes, **arguments) -> list[Event]:
    """All events up to the one that writes `last`."""
    events: list[Event] = []
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        aclosing(client.watch(key, prefix=True, **arguments)) as batches,
    ):
        async for batch in batches:
            assert batch.events
            assert batch.revision == batch.events[-1].kv.mod_revision
            events.extend(batch.events)
            if events[-1].kv.value == last:
                return events
    raise AssertionError("the watch ended")


async def test_changes_of_the_key_alone_arrive_in_order_with_kind_and_revision(client, prefix):
    key = prefix + b"k"
    first = await client.txn([], [Put(key, b"1")])
    await client.txn([], [Put(key + b"x", b"of another key")])
    second = await client.txn([], [Delete(key)])
    third = await client.txn([], [Put(key, b"2")])
    async with aclosing(client.watch(key, start_revision=first.revision)) as batches:
        events: list[Event] = []
        while len(events) < 3:
            events.extend((await anext(batches)).events)
    assert [(e.kind, e.kv.key, e.kv.value, e.kv.mod_revision) for e in events] == [
        ("put", key, b"1", first.revision),
        ("delete", key, b"", second.revision),
        ("put", key, b"2", third.revision),
    ]
    assert [event.prev_kv for event in events] == [None, None, None]


async def test_the_previous_value_comes_along_when_asked_for(client, prefix):
    first = await client.txn([], [Put(prefix + b"k", b"1")])
    await client.txn([], [Put(prefix + b"k", b"2")])
    await client.txn([], [Delete(prefix + b"k")])
    await client.txn([], [Put(prefix + b"k", b"end")])
    events = await collect(client, prefix, b"end", start_revision=first.revision, prev_kv=True)
    previous = [event.prev_kv.value if event.prev_kv else None for event in events]
    assert previous == [None, b"1", b"2", None]


async def test_without_a_start_a_watch_begins_now(client, prefix):
    await client.txn([], [Put(prefix + b"before", b"v")])
    async with aclosing(client.watch(prefix, prefix=True)) as batches:
        pending = asyncio.ensure_future(anext(batches))
        number = 0
        # Where the watch begins cannot be seen from outside: write until it reports.
        while not pending.done():
            number += 1
            await client.txn([], [Put(prefix + b"after", str(number).encode())])
        batch = await pending
    assert {event.kv.key for event in batch.events} == {prefix + b"after"}


async def test_all_changes_of_a_transaction_arrive_in_one_batch(client, prefix):
    puts = [Put(prefix + str(number).encode(), b"v") for number in range(100)]
    result = await client.txn([], puts)
    async with aclosing(
        client.watch(prefix, prefix=True, start_revision=result.revision)
    ) as batches:
        batch = await anext(batches)
    assert len(batch.events) == 100
    assert batch.revision == result.revision


async def test_a_transaction_larger_than_one_answer_arrives_whole(client, prefix):
    """Five values, then one deletion of all of them: its previous values fill several fragments."""
    value = b"x" * 1_000_000
    for number in range(5):
        await client.txn([], [Put(prefix + str(number).encode(), value)])
    deletion = await client.txn([], [Delete(prefix, prefix=True)])
    async with aclosing(
        client.watch(prefix, prefix=True, start_revision=deletion.revision, prev_kv=True)
    ) as batches:
        batch = await anext(batches)
    assert [event.kind for event in batch.events] == ["delete"] * 5
    assert all(event.prev_kv is not None and event.prev_kv.value == value for event in batch.events)


async def test_a_watch_that_nobody_reads_does_not_hold_up_other_calls(client, prefix):
    first = await client.txn([], [Put(prefix + b"0", b"v")])
    async with aclosing(
        client.watch(prefix, prefix=True, start_revision=first.revision)
    ) as batches:
        await anext(batches)
        for number in range(20):
            await client.txn([], [Put(prefix + str(number).encode(), b"x" * 1_000_000)])
        assert (await client.range(prefix, prefix=True, count_only=True)).count == 20


async def test_every_event_arrives_exactly_once_across_kill_9_and_restart(own_etcd, prefix):
    """The writer's own record, in which an unknown outcome is resolved by reading, judges it."""
    written: list[bytes] = []

    async def write_until(stop: asyncio.Event) -> None:
        async with EtcdClient([own_etcd.endpoint]) as writer:
            number = 0
            while not stop.is_set():
                key, number = prefix + f"{number:06}".encode(), number + 1
                while True:
                    try:
                        await writer.txn([Compare.version(key, "==", 0)], [Put(key, key)])
                        break
                    except (EtcdOutcomeUnknownError, EtcdUnavailableError):
                        continue
                written.append(key)
            await writer.txn([], [Put(prefix + b"end", b"end")])

    async with EtcdClient([own_etcd.endpoint]) as client:
        start = (await client.range(prefix, prefix=True)).revision + 1
        stop = asyncio.Event()
        async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
            group.create_task(write_until(stop))
            watching = group.create_task(collect(client, prefix, b"end", start_revision=start))
            for _ in range(3):
                target = len(written) + 50

                async def enough_is_written(target: int = target) -> bool:
                    return len(written) >= target

                await eventually(enough_is_written)
                await asyncio.to_thread(own_etcd.kill)
                await asyncio.to_thread(own_etcd.restart)
            stop.set()
        events = watching.result()
    assert len(written) >= 150
    assert [event.kv.key for event in events[:-1]] == written


async def test_every_event_arrives_exactly_once_when_connections_are_cut(etcd, prefix):
    """Values are large enough that a cut falls inside an answer."""
    count = 120
    async with TcpRelay(etcd.ports.client) as relay, EtcdClient([etcd.endpoint]) as writer:
        start = (await writer.range(prefix, prefix=True)).revision + 1

        async def write_and_cut() -> None:
            for number in range(count):
                value = f"{number:06}".encode() + b"x" * 50_000
                await writer.txn([], [Put(prefix + str(number % 7).encode(), value)])
                if number % 10 == 9:
                    relay.cut()
            await writer.txn([], [Put(prefix + b"end", b"end")])

        async with EtcdClient([relay.endpoint]) as client:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(collect(client, prefix, b"end", start_revision=start))
                group.create_task(write_and_cut())
            # The watch came back at least once, and the task that iterated it is unharmed.
            assert relay.connections > 1
        numbers = [int(event.kv.value[:6]) for event in watching.result()[:-1]]
    assert numbers == list(range(count))


async def test_a_compacted_start_is_an_error_not_silence(own_etcd, prefix):
    async with EtcdClient([own_etcd.endpoint]) as client:
        first = await client.txn([], [Put(prefix + b"k", b"1")])
        last = await client.txn([], [Put(prefix + b"k", b"2")])
        await compact(own_etcd.endpoint, last.revision)
        async with (
            asyncio.timeout(DEADLINE_SECONDS),
            aclosing(client.watch(prefix, prefix=True, start_revision=first.revision)) as batches,
        ):
            with pytest.raises(CompactedError) as raised:
                await anext(batches)
    assert raised.value.compact_revision == last.revision


async def test_what_was_compacted_during_a_broken_connection_is_an_error(own_etcd, prefix):
    async with TcpRelay(own_etcd.ports.client) as relay, EtcdClient([own_etcd.endpoint]) as writer:
        first = await writer.txn([], [Put(prefix + b"k", b"1")])
        async with EtcdClient([relay.endpoint]) as client:
            batches = client.watch(prefix, prefix=True, start_revision=first.revision)
            async with asyncio.timeout(DEADLINE_SECONDS), aclosing(batches):
                assert (await anext(batches)).revision == first.revision
                relay.swallow_answers = True
                relay.cut()
                await writer.txn([], [Put(prefix + b"k", b"2")])
                last = await writer.txn([], [Put(prefix + b"k", b"3")])
                await compact(own_etcd.endpoint, last.revision)
                relay.cut()
                relay.swallow_answers = False
                with pytest.raises(CompactedError) as raised:
                    await anext(batches)
    assert raised.value.compact_revision == last.revision


async def test_progress_notices_move_the_point_of_resumption(tmp_path, prefix):
    """A quiet watch must not be refused because of compacted changes of other keys."""
    arguments = ["--experimental-watch-progress-notify-interval=100ms"]
    with running_etcd(tmp_path, arguments=arguments) as etcd:
        async with TcpRelay(etcd.ports.client) as relay, EtcdClient([etcd.endpoint]) as writer:
            first = await writer.txn([], [Put(prefix + b"k", b"1")])
            for number in range(10):
                last = await writer.txn([], [Put(b"other", str(number).encode())])
            async with EtcdClient([relay.endpoint]) as client:
                watcher = Watcher(
                    client._cluster,
                    *key_range(prefix, prefix=True),
                    start_revision=first.revision,
                    prev_kv=False,
                )
                batches = watcher.batches()
                async with asyncio.timeout(DEADLINE_SECONDS), aclosing(batches):
                    await anext(batches)
                    pending = asyncio.ensure_future(anext(batches))

                    async def is_notified() -> bool:
                        return watcher._cursor.next_revision > last.revision

                    await eventually(is_notified)
                    await compact(etcd.endpoint, last.revision)
                    relay.cut()
                    await writer.txn([], [Put(prefix + b"k", b"2")])
                    assert (await pending).events[0].kv.value == b"2"


async def test_a_cancelled_watch_ends_at_once_and_leaves_the_client_usable(client, prefix):
    first = await client.txn([], [Put(prefix + b"k", b"1")])
    async with aclosing(
        client.watch(prefix, prefix=True, start_revision=first.revision)
    ) as batches:
        await anext(batches)
        waiting = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert (await client.range(prefix + b"k")).count == 1


async def test_a_watch_leaves_a_member_that_is_stopped(etcd_cluster, prefix, monkeypatch):
    """SIGSTOP: the connection stays up and says nothing. Only HTTP/2 pings can tell."""
    monkeypatch.setattr("vecguard.etcd.channel.KEEPALIVE_SECONDS", 1.0)
    monkeypatch.setattr("vecguard.etcd.channel.KEEPALIVE_TIMEOUT_SECONDS", 0.5)
    stopped = etcd_cluster.members[0]
    others = [member.endpoint for member in etcd_cluster.members[1:]]
    async with EtcdClient(others) as writer, EtcdClient(etcd_cluster.endpoints) as client:
        first = await writer.txn([], [Put(prefix + b"k", b"1")])
        batches = client.watch(prefix, prefix=True, start_revision=first.revision)
        async with asyncio.timeout(DEADLINE_SECONDS), aclosing(batches):
            await anext(batches)
            stopped.pause()
            while True:
                try:
                    await writer.txn([], [Put(prefix + b"k", b"2")])
                    break
                except (EtcdUnavailableError, EtcdOutcomeUnknownError):
                    continue  # the stopped member may have been the leader
            assert (await anext(batches)).events[0].kv.value == b"2"


async def test_a_watch_that_cannot_be_resumed_is_told_once(etcd, prefix):
    async with EtcdClient([etcd.endpoint]) as client:
        written = await client.txn([], [Put(prefix + b"k", b"v")])
        attempts = 0
        token = client._cluster.token

        async def refused(link, timeout_seconds):
            nonlocal attempts
            attempts += 1
            if attempts <= 5:
                raise AttemptError("Connection refused", sent=False)
            return await token(link, timeout_seconds)

        client._cluster.token = refused
        with every_log_line() as lines:
            changes = client.watch(prefix, prefix=True, start_revision=written.revision)
            async with asyncio.timeout(20), aclosing(changes):
                await anext(changes)
    told = [(line["event"], line.get("repeated")) for line in lines]
    assert told == [("etcd_watch_broke", None), ("etcd_watch_resumed", 4)]
