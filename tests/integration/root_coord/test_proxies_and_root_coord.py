"""Three proxies' caches, leases and authenticators on real streams, cut and frozen."""

import asyncio
import socket
import time
from contextlib import AsyncExitStack

import pytest

from tests.integration.root_coord.harness import Proxy, RootCoordHarness, running_proxy
from tests.support.credentials import hashed
from tests.support.logs import every_log_line
from tests.support.tcp_relay import TcpRelay
from tests.support.waiting import eventually
from vecguard.addresses import Address
from vecguard.clock_margin import ClockMargin
from vecguard.errors import OverloadedError, UnavailableError
from vecguard.etcd import EtcdClient
from vecguard.grpc.channel import Channel
from vecguard.proxy.authentication.errors import WrongCredentialsError

FIRST, SECOND = hashed("first1"), hashed("second2")
#: A machine that stands still for a second costs no lease.
TTL = 3.0


@pytest.fixture
async def stack():
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def short(etcd, prefix, stack):
    client = await stack.enter_async_context(EtcdClient([etcd.endpoint]))
    return await stack.enter_async_context(
        RootCoordHarness.open(client, prefix.decode(), ttl_seconds=TTL)
    )


async def refuses(proxy, username, password):
    with pytest.raises(WrongCredentialsError):
        await proxy.login(username, password)


async def test_after_a_change_no_proxy_accepts_the_old_password(harness, stack):
    await harness.create("bob", FIRST)
    proxies = [await stack.enter_async_context(running_proxy(harness.address)) for _ in range(3)]
    for number in range(5):
        old, new = (FIRST, SECOND) if number % 2 == 0 else (SECOND, FIRST)
        names = {FIRST: "first1", SECOND: "second2"}
        for proxy in proxies:
            await proxy.login("bob", names[old])
        reply = await harness.update("bob", new)
        for proxy in proxies:
            await refuses(proxy, "bob", names[old])
            assert await proxy.login("bob", names[new]) == reply.revision


async def test_under_load_no_request_after_the_answer_is_decided_by_the_old_password(
    harness, stack
):
    await harness.create("bob", hashed("password0"))
    proxies = [await stack.enter_async_context(running_proxy(harness.address)) for _ in range(2)]
    answered = 0
    stop = False
    violations = []
    accepted = 0

    async def client(proxy, offset):
        nonlocal accepted
        while not stop:
            oldest = answered
            number = max(0, answered - offset)
            try:
                await proxy.login("bob", f"password{number}")
            except (WrongCredentialsError, OverloadedError):
                pass  # refused, or changed too often meanwhile to be decided
            else:
                accepted += 1
                if number < oldest:
                    violations.append((number, oldest))
            await asyncio.sleep(0)

    clients = [
        asyncio.create_task(client(proxy, offset)) for proxy in proxies for offset in (0, 1, 2)
    ]
    for number in range(1, 25):
        await harness.update("bob", hashed(f"password{number}"))
        answered = number

        async def logins_go_on():
            return accepted > 2 * number  # noqa: B023 - awaited at once

        await eventually(logins_go_on)
    stop = True
    await asyncio.gather(*clients)
    assert violations == []


async def test_a_created_user_is_known_everywhere_at_once(harness, stack):
    proxies = [await stack.enter_async_context(running_proxy(harness.address)) for _ in range(2)]
    for proxy in proxies:
        await refuses(proxy, "bob", "first1")
    await harness.create("bob", FIRST)
    for proxy in proxies:
        await proxy.login("bob", "first1")


async def test_a_proxy_that_stops_in_good_order_delays_no_change(harness):
    await harness.create("bob", FIRST)
    async with running_proxy(harness.address) as proxy:
        await proxy.login("bob", "first1")
    began = time.monotonic()
    await harness.update("bob", SECOND)
    assert time.monotonic() - began < 20  # the lease would run for 30 s


@pytest.mark.parametrize("fault", ["frozen", "answers swallowed"])
async def test_a_proxy_that_is_cut_off_refuses_before_the_change_is_answered(short, stack, fault):
    """Its lease is over, by its own clock, before root coord stops to wait for it."""
    await short.create("bob", FIRST)
    relay = await stack.enter_async_context(TcpRelay(short.address.port))
    proxy = await stack.enter_async_context(
        running_proxy(Address.parse(relay.endpoint), ClockMargin(0.01, 0.05))
    )
    await proxy.login("bob", "first1")
    if fault == "frozen":
        relay.frozen = True
    else:
        relay.swallow_answers = True
    update = asyncio.create_task(short.update("bob", SECOND))
    while not update.done():
        try:
            await proxy.login("bob", "first1")
        except UnavailableError:
            assert not proxy.trust.is_valid()
        await asyncio.sleep(0.005)
    await update
    assert not proxy.trust.is_valid()
    with pytest.raises(UnavailableError):
        await proxy.login("bob", "first1")
    relay.frozen = relay.swallow_answers = False
    relay.cut()
    await eventually(proxy.has_lease)
    await refuses(proxy, "bob", "first1")
    await proxy.login("bob", "second2")


async def test_a_change_during_a_broken_connection_is_seen_after_it(short, stack):
    await short.create("bob", FIRST)
    relay = await stack.enter_async_context(TcpRelay(short.address.port))
    proxy = await stack.enter_async_context(running_proxy(Address.parse(relay.endpoint)))
    for _ in range(5):
        await eventually(proxy.has_lease)
        await proxy.login("bob", "first1")
        relay.cut()
        await short.update("bob", SECOND)
        with pytest.raises((WrongCredentialsError, UnavailableError)):
            await proxy.login("bob", "first1")
        await eventually(proxy.has_lease)
        await refuses(proxy, "bob", "first1")
        await short.update("bob", FIRST)


async def test_a_broken_connection_costs_no_bcrypt_for_what_is_unchanged(short, stack):
    await short.create("bob", FIRST)
    relay = await stack.enter_async_context(TcpRelay(short.address.port))
    proxy = await stack.enter_async_context(running_proxy(Address.parse(relay.endpoint)))
    await proxy.login("bob", "first1")
    opened = proxy.root_coord.sessions_opened
    relay.cut()

    async def opened_again():
        return proxy.root_coord.sessions_opened > opened and proxy.trust.is_valid()

    await eventually(opened_again)
    await proxy.login("bob", "first1")
    assert proxy.verifier.checks == 1


async def test_a_login_waits_within_the_grace_for_the_next_lease(short, stack):
    await short.create("bob", FIRST)
    relay = await stack.enter_async_context(TcpRelay(short.address.port))
    proxy = await stack.enter_async_context(
        running_proxy(Address.parse(relay.endpoint), grace_seconds=90.0)
    )
    await proxy.login("bob", "first1")
    relay.frozen = True

    async def has_no_lease():
        return not proxy.trust.is_valid()

    await eventually(has_no_lease)
    login = asyncio.create_task(proxy.login("bob", "first1"))
    await asyncio.sleep(0)  # it has begun to wait
    relay.frozen = False
    relay.cut()
    await asyncio.wait_for(login, 20)  # long before the grace is over


async def test_under_a_lease_a_login_goes_on_when_its_record_cannot_be_read_again(harness, stack):
    await harness.create("bob", FIRST)
    relay = await stack.enter_async_context(TcpRelay(harness.address.port))
    proxy = await stack.enter_async_context(
        running_proxy(Address.parse(relay.endpoint), cache_ttl_seconds=0.1)
    )
    await proxy.login("bob", "first1")
    relay.frozen = True
    relay.cut()

    async def is_cut_off_and_the_record_is_old():
        return proxy.root_coord.address is None and proxy.cache.peek("bob") is None

    await eventually(is_cut_off_and_the_record_is_old)
    await proxy.login("bob", "first1")
    assert proxy.verifier.checks == 1


async def test_a_hash_of_another_cost_is_replaced_and_no_proxy_loses_the_login(harness, stack):
    await harness.create("bob", hashed("first1", 5))
    first, second = [
        await stack.enter_async_context(running_proxy(harness.address)) for _ in range(2)
    ]
    second.verifier.cost = 5
    await second.login("bob", "first1")
    await first.login("bob", "first1")
    checks = second.verifier.checks
    await second.login("bob", "first1")
    assert second.verifier.checks == checks
    stored = (await harness.store.get("bob")).value
    assert stored.password.cost == 4
    await harness.update("bob", SECOND)
    for proxy in (first, second):
        await refuses(proxy, "bob", "first1")


async def test_a_root_coord_that_is_out_of_reach_is_told_once():
    tried = 0

    def connect(address):
        nonlocal tried
        tried += 1
        return Channel(address)

    with socket.socket() as bound, every_log_line() as lines:
        bound.bind(("127.0.0.1", 0))  # and nothing listens there
        proxy = Proxy(Address(*bound.getsockname()), ClockMargin(0.01, 0.05))
        proxy.root_coord._connect = connect
        running = asyncio.create_task(proxy.root_coord.run(proxy.revocations))

        async def several():
            return tried >= 5

        await eventually(several)
        running.cancel()
        await asyncio.wait([running])
        proxy.verifier.close()
    (told,) = [line for line in lines if line["event"] == "session_failed"]
    assert "cannot be reached" in told["error"]
