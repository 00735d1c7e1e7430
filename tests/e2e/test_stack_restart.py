from pathlib import Path

import pytest

from tests.e2e.scenario import Pymilvus, grpc_answer
from tests.e2e.stacks import running_stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_users_passwords_and_collections_survive_a_restart_of_everything(
    tmp_path: Path, pymilvus: Pymilvus
):
    passwords = {"password": "Milvus", "new_password": "not-Milvus-any-more"}
    async with running_stack(tmp_path) as stack:
        await pymilvus.run("leave_behind", address=stack.proxies[0].address, **passwords)
    async with running_stack(tmp_path) as stack:
        report = await pymilvus.run("look_again", address=stack.proxies[0].address, **passwords)

    assert grpc_answer(report["replaced"])[0] == "UNAUTHENTICATED"
    assert sorted(report["users"]) == ["frank", "root"]
    assert report["rows"] == [{"id": 7, "vector": [0.5, 0.25], "note": "kept"}]
