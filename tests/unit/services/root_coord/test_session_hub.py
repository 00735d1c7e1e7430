import asyncio

import pytest
from structlog.testing import capture_logs

from tests.support.session_streams import FakeProxy
from tests.support.waiting import eventually
from vecguard.boot_clock import boot_clock
from vecguard.errors import DeadlineError, InvalidParameterError, Status, UnavailableError
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.observability.metrics import vecguard_version
from vecguard.root_coord import session_hub, session_state
from vecguard.root_coord.session_hub import LeaseTerms, SessionHub
from vecguard.root_coord.session_state import (
    FullInvalidation,
    Invalidation,
    PolicyInvalidation,
    SessionState,
)

CHANGE = Invalidation("bob", 7)
# Long enough never to run out in a test, and short enough to wait for.
LONG, SHORT = 60.0, 0.3


def hub_with(ttl_seconds, *, may_grant=lambda: True):
    return SessionHub(
        SessionState(ttl_seconds),
        LeaseTerms(42, ttl_seconds, 1.0),
        boot_clock,
        may_grant=may_grant,
    )


@pytest.fixture
async def hub():
    return hub_with(LONG)


@pytest.fixture
async def short():
    return hub_with(SHORT)


async def finished(task):
    async with asyncio.timeout(10):
        return await task


def changing(hub, change=CHANGE):
    return asyncio.create_task(hub.invalidate(change))


async def test_an_opened_session_is_told_its_terms(hub):
    opened = await FakeProxy(hub).open()
    assert opened == pb.Opened(
        term=42,
        lease_ttl_ms=60_000,
        renew_interval_ms=1000,
        judges_actors=True,
        serves_roles=True,
        version=vecguard_version(),
    )


async def test_a_lease_is_never_announced_longer_than_it_is_counted():
    hub = hub_with(0.0009)
    assert (await FakeProxy(hub).open()).lease_ttl_ms == 0


async def test_a_renewal_is_answered_with_its_number_and_the_term(hub):
    proxy = FakeProxy(hub)
    assert (await proxy.open_with_lease()).term == 42


async def test_a_change_waits_for_the_acknowledgement(hub):
    proxy = FakeProxy(hub)
    await proxy.open_with_lease()
    change = changing(hub)
    notice = await proxy.notice()
    assert notice.invalidations == [pb.Invalidation(username="bob", revision=7)]
    assert not notice.everything
    # An answered renewal: root coord has turned over everything that came before.
    await proxy.renew()
    assert not change.done()
    proxy.acknowledge(notice.sequence)
    await finished(change)


async def test_a_change_waits_for_every_proxy(hub):
    proxies = [FakeProxy(hub, f"proxy{number}") for number in range(5)]
    for proxy in proxies:
        await proxy.open_with_lease()
    change = changing(hub)
    for proxy in proxies:
        assert not change.done()
        proxy.acknowledge((await proxy.notice()).sequence)
        await proxy.renew()
    await finished(change)


async def test_notices_arrive_in_the_order_of_the_changes(hub):
    proxy = FakeProxy(hub)
    await proxy.open_with_lease()
    changes = [changing(hub, Invalidation("bob", revision)) for revision in range(20)]
    notices = [await proxy.notice() for _ in range(20)]
    assert [notice.invalidations[0].revision for notice in notices] == list(range(20))
    proxy.acknowledge(notices[-1].sequence)
    await finished(asyncio.gather(*changes))


async def test_a_lease_that_runs_out_lets_the_change_go_on_and_not_before(short):
    proxy = FakeProxy(short)
    await proxy.open_with_lease()
    asked = boot_clock()
    await finished(changing(short))
    assert SHORT - 0.1 <= boot_clock() - asked <= SHORT + 2


async def test_a_broken_stream_is_awaited_until_its_lease_runs_out(short):
    proxy = FakeProxy(short)
    await proxy.open_with_lease()
    await proxy.hang_up()
    assert short.connected == 0
    asked = boot_clock()
    await finished(changing(short))
    assert SHORT - 0.1 <= boot_clock() - asked <= SHORT + 2


async def test_a_stream_that_breaks_during_the_change_settles_nothing(hub):
    proxy = FakeProxy(hub)
    await proxy.open_with_lease()
    change = changing(hub)
    await proxy.notice()
    await proxy.hang_up()
    assert not change.done()
    again = FakeProxy(hub)
    await again.open()
    again.acknowledge((await again.notice()).sequence)
    await finished(change)


async def test_a_new_stream_of_the_same_process_gets_what_is_pending_in_order(hub):
    proxy = FakeProxy(hub)
    await proxy.open_with_lease()
    await proxy.hang_up()
    changes = [changing(hub, Invalidation("bob", revision)) for revision in range(3)]
    await asyncio.sleep(0)
    again = FakeProxy(hub)
    await again.open()
    changes.append(changing(hub, Invalidation("bob", 3)))
    notices = [await again.notice() for _ in range(4)]
    assert [notice.invalidations[0].revision for notice in notices] == [0, 1, 2, 3]
    again.acknowledge(notices[-1].sequence)
    await finished(asyncio.gather(*changes))


async def test_a_second_stream_of_one_process_ends_the_first(hub):
    first, second = FakeProxy(hub), FakeProxy(hub)
    await first.open_with_lease()
    await second.open()
    error = await first.ended()
    assert isinstance(error, UnavailableError)
    assert hub.connected == 1
    await second.renew()


async def test_the_end_of_an_older_stream_leaves_the_newer_one_in_the_books(hub):
    first, second = FakeProxy(hub), FakeProxy(hub)
    await first.open_with_lease()
    await second.open_with_lease()
    await first.ended()
    change = changing(hub)
    second.acknowledge((await second.notice()).sequence)
    await finished(change)


async def test_an_acknowledgement_on_a_stream_that_was_taken_over_does_not_count(hub):
    first = FakeProxy(hub)
    await first.open_with_lease()
    change = changing(hub)
    notice = await first.notice()
    second = FakeProxy(hub)
    second.send(pb.SessionRequest(open=pb.Open(proxy_id="proxy")))
    await asyncio.sleep(0)
    first.acknowledge(notice.sequence)
    await first.ended()
    assert not change.done()
    await second.hang_up()
    change.cancel()


async def test_a_session_without_a_lease_hears_of_changes_and_delays_none(hub):
    proxy = FakeProxy(hub)
    await proxy.open()
    await finished(changing(hub))
    assert (await proxy.notice()).invalidations[0].username == "bob"


async def test_a_notice_without_a_lease_comes_before_the_first_lease(hub):
    """A proxy that sees its lease has seen every change before it."""
    proxy = FakeProxy(hub)
    await proxy.open()
    await hub.invalidate(CHANGE)
    proxy.ask_for_renewal()
    assert isinstance(await proxy.receive(), pb.Invalidate)
    assert isinstance(await proxy.receive(), pb.Renewed)


async def test_a_connected_session_whose_lease_ran_out_hears_the_change_before_its_next_lease(
    short,
):
    proxy = FakeProxy(short)
    await proxy.open_with_lease()
    proxy.stream.reading.clear()
    await finished(changing(short))
    proxy.ask_for_renewal()
    proxy.stream.reading.set()
    assert isinstance(await proxy.receive(), pb.Invalidate)
    assert isinstance(await proxy.receive(), pb.Renewed)


async def test_announcing_waits_for_nobody(hub):
    proxy = FakeProxy(hub)
    await proxy.open_with_lease()
    hub.announce(FullInvalidation())
    assert (await proxy.notice()).everything


async def test_a_proxy_that_does_not_read_is_cut_off_when_its_outbox_is_full(hub, monkeypatch):
    monkeypatch.setattr(session_hub, "_OUTBOX_LIMIT", 8)
    proxy = FakeProxy(hub)
    await proxy.open_with_lease()
    proxy.stream.reading.clear()
    for _ in range(20):
        hub.announce(CHANGE)
    assert isinstance(await proxy.ended(), UnavailableError)
    assert hub.connected == 0


async def test_nothing_is_sent_after_a_message_that_was_dropped(hub, monkeypatch):
    """An acknowledgement of what came after it would cover the dropped one too."""
    monkeypatch.setattr(session_hub, "_OUTBOX_LIMIT", 2)
    outbox = session_hub._Outbox("peer", "1")
    stream = FakeProxy(hub).stream
    for sequence in range(1, 4):
        outbox.put(bytes(pb.SessionReply(surrender=pb.Surrender(sequence=sequence))))
    sending = asyncio.create_task(outbox.drain_into(stream))
    await asyncio.sleep(0)
    outbox.put(bytes(pb.SessionReply(surrender=pb.Surrender(sequence=4))))
    for _ in range(5):
        await asyncio.sleep(0)
    sending.cancel()
    sent = [stream.down.get_nowait().surrender.sequence for _ in range(stream.down.qsize())]
    assert sent == [1, 2][: len(sent)]


async def test_a_proxy_that_does_not_read_gets_no_lease_for_ever():
    """It renews and does not acknowledge: the change waits for one lease."""
    hub = hub_with(1.0)
    proxy = FakeProxy(hub)
    await proxy.open_with_lease()
    proxy.stream.reading.clear()
    change = changing(hub)

    async def renewing():
        while not change.done():
            proxy.ask_for_renewal()
            await asyncio.sleep(0.05)

    async with asyncio.timeout(5):
        await asyncio.gather(renewing(), change)


async def test_a_renewal_that_is_not_granted_is_not_answered(monkeypatch):
    """An answer would let the proxy go on when no change waits for it any more."""
    monkeypatch.setattr(session_state, "_LONGEST_PATIENCE_SECONDS", -1.0)
    hub = hub_with(LONG)
    proxy = FakeProxy(hub)
    await proxy.open_with_lease()
    change = changing(hub)
    notice = await proxy.notice()
    proxy.ask_for_renewal()
    proxy.acknowledge(notice.sequence)
    await finished(change)
    # Acknowledged after the renewal, so that this one is the first to be answered.
    await proxy.renew()


async def test_closing_ends_every_stream_even_one_that_is_not_read(hub):
    first, second = FakeProxy(hub, "a"), FakeProxy(hub, "b")
    await first.open_with_lease()
    await second.open_with_lease()
    second.stream.reading.clear()
    hub.announce(CHANGE)
    await asyncio.sleep(0)
    hub.close()
    for proxy in (first, second):
        error = await proxy.ended()
        assert error.status is Status.UNAVAILABLE
    assert hub.connected == 0


async def test_a_lease_still_counts_after_closing(short):
    proxy = FakeProxy(short)
    await proxy.open_with_lease()
    short.close()
    await proxy.ended()
    asked = boot_clock()
    await finished(changing(short))
    assert boot_clock() - asked >= SHORT - 0.1


async def test_a_client_that_ends_its_half_ends_the_stream_without_an_error(hub):
    proxy = FakeProxy(hub)
    await proxy.open()
    proxy.send(None)
    assert await proxy.ended() is None
    assert hub.connected == 0


@pytest.mark.parametrize(
    "first",
    [
        None,
        pb.SessionRequest(),
        pb.SessionRequest(renew=pb.Renew(number=1)),
        pb.SessionRequest(open=pb.Open()),
        pb.SessionRequest(open=pb.Open(proxy_id="x" * 256)),  # it would be logged
        pb.SessionRequest(open=pb.Open(proxy_id="proxy", version="x" * 256)),
        pb.SessionRequest(acknowledge=pb.Acknowledge(sequence=1)),
    ],
)
async def test_a_session_begins_with_open_and_a_name(hub, first):
    proxy = FakeProxy(hub)
    proxy.send(first)
    assert isinstance(await proxy.ended(), InvalidParameterError)
    assert hub.connected == 0


async def test_a_session_is_opened_once(hub):
    proxy = FakeProxy(hub)
    await proxy.open()
    proxy.send(pb.SessionRequest(open=pb.Open(proxy_id="proxy")))
    assert isinstance(await proxy.ended(), InvalidParameterError)


async def test_a_stream_that_never_opens_a_session_is_ended(hub, monkeypatch):
    monkeypatch.setattr(session_hub, "_OPEN_TIMEOUT_SECONDS", 0.05)
    assert isinstance(await FakeProxy(hub).ended(), DeadlineError)


async def test_no_lease_is_granted_while_none_may_be():
    may_grant = False
    hub = hub_with(LONG, may_grant=lambda: may_grant)
    proxy = FakeProxy(hub)
    await proxy.open()
    proxy.ask_for_renewal()
    hub.announce(CHANGE)
    assert isinstance(await proxy.receive(), pb.Invalidate)
    await finished(changing(hub))
    may_grant = True
    await proxy.notice()
    await proxy.renew()


async def test_surrendering_takes_every_lease_back(hub):
    proxy = FakeProxy(hub)
    await proxy.open_with_lease()
    surrender = asyncio.create_task(hub.surrender(5.0))
    taken = await proxy.receive()
    assert isinstance(taken, pb.Surrender)
    assert not surrender.done()
    proxy.acknowledge(taken.sequence)
    assert await finished(surrender)
    await finished(changing(hub))
    proxy.ask_for_renewal()
    assert isinstance(await proxy.receive(), pb.Invalidate)
    assert proxy.stream.down.empty()


async def test_a_lease_that_is_not_given_back_in_time_is_reported(hub):
    proxy = FakeProxy(hub)
    await proxy.open_with_lease()
    assert not await finished(asyncio.create_task(hub.surrender(0.05)))


async def test_a_released_session_is_not_awaited(hub):
    proxy = FakeProxy(hub)
    await proxy.open_with_lease()
    change = changing(hub)
    await proxy.notice()
    proxy.send(pb.SessionRequest(release=pb.Release()))
    await finished(change)
    assert await proxy.ended() is None
    assert hub.connected == 0


async def test_a_caller_who_hangs_up_leaves_the_notice_to_the_proxies(hub):
    proxy = FakeProxy(hub)
    await proxy.open_with_lease()
    change = changing(hub)
    notice = await proxy.notice()
    change.cancel()
    await asyncio.wait([change])
    proxy.acknowledge(notice.sequence)
    await proxy.renew()
    assert not hub._settled


async def test_many_proxies_and_changes_leave_nothing_behind(hub):
    proxies = [FakeProxy(hub, f"proxy{number}") for number in range(10)]
    for proxy in proxies:
        await proxy.open_with_lease()

    async def acknowledging(proxy):
        while True:
            proxy.acknowledge((await proxy.notice()).sequence)

    answering = [asyncio.create_task(acknowledging(proxy)) for proxy in proxies]
    await finished(asyncio.gather(*(hub.invalidate(CHANGE) for _ in range(50))))
    for task in answering:
        task.cancel()
    assert not hub._settled
    assert hub._sessions.next_expiry() is None
    for proxy in proxies:
        await proxy.hang_up()

    async def empty():
        return hub.connected == 0

    await eventually(empty)


# --- roles ------------------------------------------------------------------------------


async def test_notices_of_one_change_are_sent_together_and_awaited_together(hub):
    proxy = FakeProxy(hub)
    await proxy.open_with_lease()
    change = asyncio.create_task(
        hub.invalidate(PolicyInvalidation(8), Invalidation("bob", 8, roles_only=True))
    )
    policy, roles = await proxy.receive(), await proxy.receive()
    assert (policy.policy_revision, policy.invalidations, policy.everything) == (8, [], False)
    assert roles.policy_revision == 0
    assert roles.invalidations == [pb.Invalidation(username="bob", revision=8, roles_only=True)]
    assert hub.unacknowledged == 1
    proxy.send(pb.SessionRequest(acknowledge=pb.Acknowledge(sequence=policy.sequence)))
    await proxy.renew()
    assert not change.done()
    proxy.send(pb.SessionRequest(acknowledge=pb.Acknowledge(sequence=roles.sequence)))
    await finished(change)


async def test_a_change_that_revokes_nothing_waits_for_nobody(hub):
    await FakeProxy(hub).open_with_lease()
    await finished(asyncio.create_task(hub.invalidate()))


async def test_a_long_change_of_roles_is_logged_without_a_user(hub, monkeypatch):
    monkeypatch.setattr(session_hub, "_LONG_WAIT_SECONDS", 0.01)
    proxy = FakeProxy(hub)
    await proxy.open_with_lease()
    with capture_logs() as logs:
        change = asyncio.create_task(
            hub.invalidate(PolicyInvalidation(8), Invalidation("bob", 8, roles_only=True))
        )
        await proxy.receive()
        last = await proxy.receive()

        async def is_long():
            return hub.awaited is not None

        await eventually(is_long)
        proxy.send(pb.SessionRequest(acknowledge=pb.Acknowledge(sequence=last.sequence)))
        await finished(change)
    assert hub.awaited is None
    waits, settled = (
        next(entry for entry in logs if entry["event"] == event)
        for event in ("change_waits", "change_settled")
    )
    assert waits["revision"] == settled["revision"] == 8
    assert "user" not in waits
    assert waits["proxies"] == ["proxy"]


async def test_a_long_change_of_everything_is_logged_without_a_revision(hub, monkeypatch):
    monkeypatch.setattr(session_hub, "_LONG_WAIT_SECONDS", 0.01)
    proxy = FakeProxy(hub)
    await proxy.open_with_lease()
    change = changing(hub, FullInvalidation())
    notice = await proxy.receive()
    with capture_logs() as logs:

        async def is_logged():
            return any(entry["event"] == "change_waits" for entry in logs)

        await eventually(is_logged)
    assert "revision" not in logs[0]
    proxy.send(pb.SessionRequest(acknowledge=pb.Acknowledge(sequence=notice.sequence)))
    await finished(change)
