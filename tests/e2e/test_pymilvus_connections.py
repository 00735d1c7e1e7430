import pytest

from deploy.local.stack import LocalStack
from tests.e2e.scenario import Pymilvus

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
