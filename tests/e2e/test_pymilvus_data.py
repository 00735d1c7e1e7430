import pytest

from deploy.local.stack import LocalStack
from tests.e2e.scenario import Pymilvus

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("scenario", ["data_client", "data_orm"])
async def test_every_value_is_the_same_as_from_milvus_lite_directly(
    stack: LocalStack, pymilvus: Pymilvus, scenario: str
):
    token = "root:Milvus"
    direct = await pymilvus.run(scenario, uri=f"http://{stack.backend_address}", token=token)
    through = await pymilvus.run(scenario, uri=f"http://{stack.proxies[0].address}", token=token)

    assert through == direct
    # The scenario itself did something: a collection came, held rows and went.
    assert not direct["has_before"]
    assert direct["after_delete"]
    assert not direct["has_at_end"]
