"""What a new root coord owes to the leases of the one before."""

import pytest

from shared.addresses import Address
from shared.errors import UnavailableError
from tests.integration.root_coord.house import running_proxy
from tests.integration.root_coord.tenures import leading
from tests.support.credentials import hashed
from tests.support.tcp_relay import TcpRelay

FIRST, SECOND = hashed("first1"), hashed("second2")


async def test_a_shorter_lease_in_the_settings_does_not_shorten_those_that_run(own_etcd):
    """A proxy that is cut off holds a lease of the old length, which nobody can take back."""
    async with leading(own_etcd.endpoint, "root", lease_ttl_seconds=5.0) as before:
        await before.create("bob", FIRST)
        async with (
            TcpRelay(before.port) as relay,
            running_proxy(Address.parse(relay.endpoint)) as proxy,
        ):
            await proxy.login("bob", "first1")
            relay.frozen = True
            await before.tenure.step_down(1.0)
            async with leading(own_etcd.endpoint, "root", lease_ttl_seconds=1.2) as successor:
                await successor.update("bob", SECOND)
                with pytest.raises(UnavailableError):
                    await proxy.login("bob", "first1")
