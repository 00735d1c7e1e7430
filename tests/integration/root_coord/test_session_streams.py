import asyncio
import time
from contextlib import AsyncExitStack

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from tests.integration.root_coord.harness import RootCoordHarness, SessionEnd
from tests.support.credentials import hashed
from tests.support.logs import every_log_line
from tests.support.waiting import eventually
from vecguard.etcd import EtcdClient
from vecguard.generated.vecguard.internal import v1 as pb
from vecguard.observability.health import HealthReport
from vecguard.root_coord.health_checks import register_health_checks
from vecguard.root_coord.role import Role

FIRST, SECOND = hashed("first1"), hashed("second2")
SHORT = 1.0


@pytest.fixture
async def short(etcd, prefix):
    async with (
        EtcdClient([etcd.endpoint]) as client,
        RootCoordHarness.open(client, prefix.decode(), ttl_seconds=SHORT) as harness,
    ):
        yield harness


def updating(harness):
    return asyncio.create_task(harness.update("bob", SECOND))


async def finished(task):
    async with asyncio.timeout(15):
        return await task


async def ended(session, status):
    """The other side ends the stream, for a reason that grpclib's client may lose.

    After its trailers a server resets a stream whose other half is open, and grpclib
    tells of the reset instead of the status when it sees both at once.
    """

    async def until_its_end():
        while await session.receive() is not None:
            pass

    with pytest.raises((GRPCError, StreamTerminatedError)) as refusal:
        await until_its_end()
    if isinstance(refusal.value, GRPCError):
        assert refusal.value.status is status


async def disconnected(harness):
    async def nobody():
        return harness.hub.connected == 0

    await eventually(nobody)


async def test_a_change_is_answered_after_every_session_has_acknowledged(harness):
    await harness.create("bob", FIRST)
    async with SessionEnd(harness, "a") as a, SessionEnd(harness, "b") as b:
        await a.open_with_lease()
        await b.open_with_lease()
        update = updating(harness)
        for session in (a, b):
            assert not update.done()
            notice = await session.receive()
            stored = (await harness.get("bob")).credential
            assert notice.invalidations == [
                pb.Invalidation(username="bob", revision=stored.revision)
            ]
            await session.acknowledge(notice.sequence)
        reply = await finished(update)
    assert reply.outcome is pb.MutationOutcome.APPLIED
    assert reply.revision == stored.revision


async def test_one_session_that_does_not_acknowledge_holds_the_answer_back(harness):
    await harness.create("bob", FIRST)
    async with SessionEnd(harness, "a") as a, SessionEnd(harness, "b") as b:
        await a.open_with_lease()
        await b.open_with_lease()
        update = updating(harness)
        await a.acknowledge((await a.receive()).sequence)
        notice = await b.receive()
        await a.renew()
        assert not update.done()
        await b.acknowledge(notice.sequence)
        await finished(update)


def conditions_of(harness):
    """What the operations port would say of the changes."""
    role, health = Role(), HealthReport()
    role.assume(harness)
    register_health_checks(role, health)
    return next(check for check in health.evaluate().checks if check.name == "changes")


async def test_whom_a_change_waits_for_is_told_once_it_waits_for_long(harness):
    await harness.create("bob", FIRST)
    with every_log_line() as logs:
        async with SessionEnd(harness, "a") as a, SessionEnd(harness, "b") as b:
            await a.open_with_lease()
            await b.open_with_lease()
            update = updating(harness)
            await a.acknowledge((await a.receive()).sequence)
            notice = await b.receive()
            assert conditions_of(harness).healthy

            async def told():
                return not conditions_of(harness).healthy

            await eventually(told)
            assert "waits for proxy b, for at most" in conditions_of(harness).message
            await b.acknowledge(notice.sequence)
            reply = await finished(update)
            assert conditions_of(harness).healthy
    opened, waits, settled = (
        [line for line in logs if line["event"] == event]
        for event in ("session_opened", "change_waits", "change_settled")
    )
    assert {line["proxy"]: line["peer"].rpartition(":")[0] for line in opened} == {
        "a": "127.0.0.1",
        "b": "127.0.0.1",
    }
    (waits,), (settled,) = waits, settled
    assert (waits["user"], waits["revision"]) == ("bob", reply.revision)
    assert (waits["proxies"], waits["more_proxies"], waits["earlier_leases"]) == (["b"], 0, False)
    # A lease, and two seconds in which it could still be renewed, of which one has passed.
    assert 0 < waits["seconds_at_most"] <= 31.0
    assert (settled["user"], settled["revision"]) == ("bob", reply.revision)
    assert settled["seconds"] >= 1.0


async def test_of_very_many_who_are_awaited_some_are_named(harness):
    await harness.create("bob", FIRST)
    async with AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(SessionEnd(harness, f"p{number:02}"))
            for number in range(12)
        ]
        for session in sessions:
            await session.open_with_lease()
        with every_log_line() as logs:
            update = updating(harness)

            async def told():
                return [line for line in logs if line["event"] == "change_waits"]

            await eventually(told)
        (line,) = await told()
        assert line["proxies"] == [f"p{number:02}" for number in range(10)]
        assert line["more_proxies"] == 2
        assert "p00, p01, p02, p03, p04 and 7 more" in conditions_of(harness).message
        for session in sessions:
            await session.acknowledge((await session.receive()).sequence)
        await finished(update)


@pytest.mark.parametrize("how", ["silent", "cut before", "cut during"])
async def test_a_session_that_is_gone_holds_the_answer_back_for_its_lease_and_no_longer(short, how):
    await short.create("bob", FIRST)
    async with SessionEnd(short) as session:
        await session.open_with_lease()
        granted = time.monotonic()
        if how == "cut before":
            session.cut()
            await disconnected(short)
        update = updating(short)
        if how == "cut during":
            await session.receive()
            session.cut()
            await disconnected(short)
            assert not update.done()
        await finished(update)
    waited = time.monotonic() - granted
    assert SHORT - 0.2 <= waited <= SHORT + 5


async def test_a_new_stream_of_the_same_process_can_acknowledge_at_once(harness):
    await harness.create("bob", FIRST)
    async with SessionEnd(harness) as first:
        await first.open_with_lease()
        update = updating(harness)
        notice = await first.receive()
        first.cut()
        await disconnected(harness)
    async with SessionEnd(harness) as second:
        await second.open()
        assert await second.receive() == notice
        assert not update.done()
        await second.acknowledge(notice.sequence)
        await finished(update)


async def test_a_second_stream_of_one_process_ends_the_first_one(harness):
    async with SessionEnd(harness) as first, SessionEnd(harness) as second:
        await first.open_with_lease()
        await second.open_with_lease()
        await ended(first, Status.UNAVAILABLE)
        await second.renew()
        assert harness.hub.connected == 1


async def test_a_caller_who_hangs_up_after_the_write_has_everybody_told_all_the_same(harness):
    await harness.create("bob", FIRST)
    async with SessionEnd(harness) as session:
        await session.open_with_lease()
        update = updating(harness)
        notice = await session.receive()
        update.cancel()
        await asyncio.wait([update])
        await session.acknowledge(notice.sequence)
        async with asyncio.timeout(10):
            await harness.active_term.drain(10.0)
    assert (await harness.get("bob")).credential.revision == notice.invalidations[0].revision


async def test_a_caller_who_hangs_up_at_any_moment_never_leaves_a_silent_change(harness):
    """Every session has received whatever is stored in the end."""
    revision = (await harness.create("bob", FIRST)).revision
    told = [revision]
    async with SessionEnd(harness) as session:
        await session.open_with_lease()

        async def acknowledging():
            while True:
                notice = await session.receive()
                told.append(notice.invalidations[0].revision)
                await session.acknowledge(notice.sequence)

        listening = asyncio.create_task(acknowledging())
        for number in range(20):
            update = asyncio.create_task(harness.update("bob", hashed(f"password{number % 5}")))
            await asyncio.sleep(number * 0.0005)
            update.cancel()
            await asyncio.wait([update])

        async def all_told():
            return told[-1] == (await harness.get("bob")).credential.revision

        await eventually(all_told)
        await harness.active_term.drain(10.0)
        await eventually(all_told)
        listening.cancel()
        await asyncio.wait([listening])


async def test_a_deletion_tells_everybody(harness):
    await harness.create("bob", FIRST)
    async with SessionEnd(harness) as session:
        await session.open_with_lease()
        deletion = asyncio.create_task(
            harness.stub.delete_credential(
                pb.DeleteCredentialRequest(actor=pb.Actor(anonymous=True), username="bob")
            )
        )
        notice = await session.receive()
        assert not deletion.done()
        await session.acknowledge(notice.sequence)
        reply = await finished(deletion)
        assert notice.invalidations == [pb.Invalidation(username="bob", revision=reply.revision)]


async def test_a_rehash_and_a_description_tell_nobody(harness):
    created = await harness.create("bob", FIRST)
    async with SessionEnd(harness) as session:
        await session.open_with_lease()
        rehashed = await harness.stub.rehash_credential(
            pb.RehashCredentialRequest(
                username="bob",
                expected_revision=created.revision,
                password=pb.PasswordHash(encrypted_password=SECOND.encrypted.reveal()),
            )
        )
        assert rehashed.outcome is pb.MutationOutcome.APPLIED
        await harness.stub.update_credential(
            pb.UpdateCredentialRequest(
                actor=pb.Actor(anonymous=True), username="bob", description="me"
            )
        )
        assert isinstance(await session.renew(), pb.Renewed)


async def test_a_hundred_sessions_are_told_and_awaited(harness):
    await harness.create("bob", FIRST)
    sessions = [SessionEnd(harness, f"proxy{number}") for number in range(100)]
    try:
        for session in sessions:
            await session.__aenter__()
            await session.open_with_lease()
        update = updating(harness)
        for session in sessions[:-1]:
            await session.acknowledge((await session.receive()).sequence)
        last = await sessions[-1].receive()
        assert not update.done()
        await sessions[-1].acknowledge(last.sequence)
        await finished(update)
    finally:
        for session in sessions:
            await session.__aexit__()


async def test_a_message_that_is_no_open_is_refused(harness):
    async with SessionEnd(harness) as session:
        await session.send(pb.SessionRequest(renew=pb.Renew(number=1)))
        await ended(session, Status.INVALID_ARGUMENT)
        assert harness.hub.connected == 0
