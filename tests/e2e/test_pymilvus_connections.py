import pytest

from deploy.local.stack import LocalStack
from tests.e2e.scenario import Pymilvus
from tests.support.tcp_relay import TcpRelay

#: The head of a PING that asks (RFC 9113, section 6.7).
_PING = bytes((0, 0, 8, 6, 0, 0, 0, 0, 0))

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_every_way_of_logging_in_reaches_accounts_and_backend(
    stack: LocalStack, pymilvus: Pymilvus
):
    report = await pymilvus.run(
        "connect", address=stack.proxies[0].address, user="root", password="Milvus"
    )

    assert report.pop("pymilvus").startswith(f"{pymilvus.major}.")
    versions = {name: report.pop(name) for name in list(report) if name.endswith("_version")}
    assert len(versions) == 7
    assert all(version.startswith("milvus_lite-") for version in versions.values())
    assert len(report) == 7
    assert all(users == ["root"] for users in report.values())


async def test_an_idle_client_that_is_kept_alive_by_pings_is_not_cut(
    stack: LocalStack, pymilvus: Pymilvus
):
    port = int(stack.proxies[0].address.rpartition(":")[2])
    pings: list[bytes] = []

    def asked(said: bytes) -> None:
        # An idle client says nothing else, so that each comes alone.
        if len(said) == 17 and said.startswith(_PING):
            pings.append(said)

    async with TcpRelay(port) as relay:
        relay.asked = asked
        report = await pymilvus.run(
            "keepalive", address=relay.endpoint, user="root", password="Milvus", idle="12"
        )

    assert report == {"users_before": ["root"], "users_after": ["root"]}
    assert len(pings) >= (2 if pymilvus.major >= 3 else 1)
    assert relay.connections == 1
