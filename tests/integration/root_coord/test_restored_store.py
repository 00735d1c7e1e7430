"""etcd goes back to a backup while a proxy goes on."""

import asyncio
import shutil
from contextlib import AsyncExitStack

import pytest

from tests.integration.root_coord.active_terms import leading
from tests.integration.root_coord.harness import running_proxy
from tests.support.credentials import hashed
from tests.support.tcp_relay import TcpRelay
from tests.support.waiting import eventually
from vecguard.addresses import Address
from vecguard.proxy.authentication.errors import WrongCredentialsError

PASSWORDS = [f"password{number}" for number in range(3)]
FIRST, SECOND, THIRD = map(hashed, PASSWORDS)
LEASE_SECONDS = 2.4


async def accepted(proxy):
    """Which of the passwords pass, the newest first."""
    passed = []
    for password in reversed(PASSWORDS):
        try:
            await proxy.login("bob", password)
        except WrongCredentialsError:
            continue
        passed.append(password)
    return passed


@pytest.mark.parametrize("holds_records", [True, False], ids=["held", "nothing held"])
async def test_after_a_restore_a_later_change_is_as_good_as_any(own_etcd, tmp_path, holds_records):
    data, backup = tmp_path / "etcd" / "only", tmp_path / "backup"

    def elected():
        return leading(own_etcd.endpoint, "root", lease_ttl_seconds=LEASE_SECONDS)

    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(TcpRelay(0))
        async with elected() as leader:
            await leader.create("bob", FIRST)
        await asyncio.to_thread(own_etcd.stop)
        shutil.copytree(data, backup)
        await asyncio.to_thread(own_etcd.restart)
        async with elected() as leader:
            relay.target_port = leader.address.port
            # The change after the restore will be made at this very revision.
            repeated = await leader.update("bob", SECOND)
            for number in range(5):
                await leader.create(f"user{number}", FIRST)
            # On a busy machine so short a lease runs out; a login then waits for the next one.
            proxy = await stack.enter_async_context(
                running_proxy(Address.parse(relay.endpoint), grace_seconds=60.0)
            )
            assert await proxy.login("bob", PASSWORDS[1]) == repeated.revision
        relay.cut()
        if not holds_records:
            # Verdicts on logins outlast the records that they are about.
            proxy.revocations.invalidate_all()
        await asyncio.to_thread(own_etcd.stop)
        shutil.rmtree(data)
        shutil.copytree(backup, data)
        await asyncio.to_thread(own_etcd.restart)
        async with elected() as leader:
            opened = proxy.root_coord.sessions_opened
            relay.target_port = leader.address.port

            async def trusts_the_restored_store():
                return proxy.root_coord.sessions_opened > opened and proxy.trust.is_valid()

            await eventually(trusts_the_restored_store)
            changed = await leader.update("bob", THIRD)
            assert changed.revision == repeated.revision
            assert await accepted(proxy) == [PASSWORDS[2]]
