import asyncio
import logging
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from tests.support.etcd import EtcdProcess, running_etcd
from tests.support.etcd_administration import channel_to, enable_authentication
from tests.support.tcp_relay import TcpRelay
from tests.support.waiting import eventually
from vecguard.etcd import EtcdAuthError, EtcdClient, Put
from vecguard.generated import etcdserverpb as pb
from vecguard.secret import Secret

PASSWORD = "open sesame"
PREFIX = b"vecguard/"


@pytest.fixture(scope="module")
def locked_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdProcess]:
    with running_etcd(tmp_path_factory.mktemp("etcd"), arguments=["--auth-token-ttl=1"]) as process:
        asyncio.run(lock(process))
        yield process


async def lock(process: EtcdProcess) -> None:
    await enable_authentication(
        process.endpoint,
        root_password="root",
        user="vecguard",
        password=PASSWORD,
        user_prefix=PREFIX,
    )


@pytest.fixture
async def user(locked_process: EtcdProcess) -> AsyncIterator[EtcdClient]:
    async with EtcdClient(
        [locked_process.endpoint], username="vecguard", password=Secret(PASSWORD)
    ) as client:
        yield client


def authentications(process: EtcdProcess) -> int:
    """How many Authenticate requests etcd has seen, by its own count."""
    with urllib.request.urlopen(f"http://127.0.0.1:{process.ports.health}/metrics") as reply:
        for line in reply.read().decode().splitlines():
            if line.startswith("grpc_server_started_total{") and '"Authenticate"' in line:
                return int(float(line.rpartition(" ")[2]))
    raise AssertionError("no such metric")


def spoil_token(client: EtcdClient) -> None:
    client._cluster._tokens._token = Secret("notatoken.1")


async def test_a_user_with_the_right_password_reads_writes_and_watches(user):
    result = await user.txn([], [Put(PREFIX + b"k", b"v")])
    assert (await user.range(PREFIX, prefix=True)).kvs[0].value == b"v"
    grant = await user.lease_grant(60)
    assert await user.lease_keep_alive_once(grant.id) == 60
    await user.lease_revoke(grant.id)
    async with aclosing(user.watch(PREFIX, prefix=True, start_revision=result.revision)) as batches:
        assert (await anext(batches)).events[0].kv.value == b"v"


async def test_a_wrong_password_and_an_unknown_user_are_auth_errors_without_secrets(
    locked_process,
):
    for name, password in (("vecguard", "wrong password"), ("nobody", PASSWORD)):
        async with EtcdClient(
            [locked_process.endpoint], username=name, password=Secret(password)
        ) as client:
            with pytest.raises(EtcdAuthError) as raised:
                await client.range(PREFIX)
            text = f"{raised.value!r} {raised.value.__cause__!r}"
            assert password not in text
            with pytest.raises(EtcdAuthError):
                await anext(client.watch(PREFIX))


async def test_without_credentials_a_locked_etcd_is_an_auth_error(locked_process):
    async with EtcdClient([locked_process.endpoint]) as client:
        with pytest.raises(EtcdAuthError):
            await client.range(PREFIX)
        with pytest.raises(EtcdAuthError):
            await client.txn([], [Put(PREFIX + b"k", b"v")])
        with pytest.raises(EtcdAuthError):
            await anext(client.watch(PREFIX))


async def test_what_the_user_may_not_touch_is_an_auth_error(user):
    with pytest.raises(EtcdAuthError, match="permission denied"):
        await user.range(b"other")
    with pytest.raises(EtcdAuthError, match="permission denied"):
        await user.txn([], [Put(b"other", b"v")])
    with pytest.raises(EtcdAuthError, match="permission denied"):
        await anext(user.watch(b"other"))


async def test_an_expired_token_is_renewed_unnoticed(user, locked_process):
    await user.range(PREFIX)
    token = user._cluster._tokens._token.reveal()
    await expiry(locked_process, token)
    await user.range(PREFIX)
    await expiry(locked_process, user._cluster._tokens._token.reveal())
    await user.txn([], [Put(PREFIX + b"k", b"v")])


async def expiry(process: EtcdProcess, token: str) -> None:
    """Returns when etcd no longer takes the token. Asking prolongs it, so ask seldom."""

    async def is_refused() -> bool:
        await asyncio.sleep(2.5)  # an expiry is a matter of time; what follows is the proof
        async with channel_to(process.endpoint) as channel:
            try:
                await pb.KvStub(channel).range(
                    pb.RangeRequest(key=PREFIX), metadata={"token": token}
                )
            except GRPCError as error:
                return error.status is Status.UNAUTHENTICATED
        return False

    await eventually(is_refused)


async def test_a_refused_token_is_renewed_once_for_all_tasks(user, locked_process):
    await user.range(PREFIX)
    spoil_token(user)
    before = authentications(locked_process)
    spoiled = user._cluster._tokens._token
    await asyncio.gather(*(user.range(PREFIX) for _ in range(50)))
    assert authentications(locked_process) == before + 1
    # A refusal of the old token that comes late does not cost the new one.
    user._cluster.refuse(spoiled)
    await user.range(PREFIX)
    assert authentications(locked_process) == before + 1


async def test_a_write_was_not_sent_when_only_the_answer_to_its_authentication_is_lost(
    locked_process,
):
    async with (
        TcpRelay(locked_process.ports.client) as first,
        TcpRelay(locked_process.ports.client) as second,
        EtcdClient(
            [first.endpoint, second.endpoint], username="vecguard", password=Secret(PASSWORD)
        ) as client,
    ):
        await client.range(PREFIX)
        client._cluster._tokens._token = None
        first.swallow_answers = True
        write = asyncio.ensure_future(client.txn([], [Put(PREFIX + b"k", b"v")]))
        await first.heard(PASSWORD.encode())
        first.cut()
        await write
        assert second.connections == 1


async def test_a_watch_renews_a_refused_token(user):
    result = await user.txn([], [Put(PREFIX + b"k", b"v")])
    spoil_token(user)
    async with (
        asyncio.timeout(20),
        aclosing(user.watch(PREFIX, prefix=True, start_revision=result.revision)) as batches,
    ):
        assert (await anext(batches)).events[0].kv.value == b"v"


async def test_credentials_for_an_unlocked_etcd_are_unused_with_a_warning_until_it_is_locked(
    own_etcd, caplog
):
    async with EtcdClient(
        [own_etcd.endpoint], username="vecguard", password=Secret(PASSWORD)
    ) as client:
        with caplog.at_level(logging.WARNING, logger="vecguard.etcd"):
            await client.range(PREFIX)
            await client.range(PREFIX)
        (warning,) = caplog.messages
        assert warning == (
            f"etcd at {own_etcd.endpoint} runs without authentication; "
            "the configured user vecguard is not used"
        )
        await lock(own_etcd)
        await client.txn([], [Put(PREFIX + b"k", b"v")])
        assert (await client.range(PREFIX + b"k")).count == 1
