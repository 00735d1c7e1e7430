import pytest

from deploy.local.stack import LocalStack
from tests.e2e.scenario import Pymilvus, grpc_answer

pytestmark = pytest.mark.asyncio(loop_scope="session")

REFUSED = ("UNAUTHENTICATED", "auth check failure, please check username and password are correct")


async def test_old_password_is_refused_on_every_proxy_after_acknowledged_change(
    stack: LocalStack, pymilvus: Pymilvus
):
    addresses = ",".join(proxy.address for proxy in stack.proxies)
    report = await pymilvus.run("three_proxies", addresses=addresses, password="Milvus")

    accepted = {name: result for name, result in report.items() if "_new_on_" in name}
    refused = {name: result for name, result in report.items() if name not in accepted}
    assert len(accepted) == 5 * 3
    assert len(refused) == 5 * 3 * 2 + 3
    assert all(result == {"value": None} for result in accepted.values()), accepted
    for name, result in refused.items():
        assert grpc_answer(result) == REFUSED, name
