import pytest

from deploy.local.stack import LocalStack
from tests.e2e.scenario import Pymilvus, grpc_answer

pytestmark = pytest.mark.asyncio(loop_scope="session")

REFUSED = (
    "PERMISSION_DENIED",
    "PrivilegeSearch: permission deny to lists_user in the `default` database",
)


async def test_a_reader_sees_what_a_role_names_and_searches_it_by_an_alias(
    stack: LocalStack, pymilvus: Pymilvus
):
    addresses = ",".join(proxy.address for proxy in stack.proxies)
    report = await pymilvus.run("lists", addresses=addresses, password="Milvus")
    for index in range(len(stack.proxies)):
        assert report[f"databases_{index}"] == {"value": ["default"]}
        assert report[f"collections_{index}"] == {"value": ["lists_books"]}
        assert report[f"alias_{index}"] == {"value": 1}
        assert grpc_answer(report[f"other_{index}"]) == REFUSED
        assert report[f"revoked_collections_{index}"] == {"value": []}
        assert grpc_answer(report[f"revoked_alias_{index}"]) == REFUSED
