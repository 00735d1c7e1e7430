import json
from pathlib import Path

import pytest

from tests.e2e.scenario import Pymilvus, grpc_answer
from tests.e2e.stacks import running_stack
from vecguard.config.security import TlsMode

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_users_passwords_and_collections_survive_a_restart_of_everything(
    tmp_path: Path, any_pymilvus: Pymilvus
):
    passwords = {"password": "Milvus", "new_password": "not-Milvus-any-more"}
    async with running_stack(tmp_path) as stack:
        await any_pymilvus.run("leave_behind", address=stack.proxies[0].address, **passwords)
    async with running_stack(tmp_path) as stack:
        report = await any_pymilvus.run("look_again", address=stack.proxies[0].address, **passwords)

    assert grpc_answer(report["replaced"])[0] == "UNAUTHENTICATED"
    assert sorted(report["users"]) == ["frank", "root"]
    assert report["rows"] == [{"id": 7, "vector": [0.5, 0.25], "note": "kept"}]


async def test_users_stay_when_tls_is_switched_on(tmp_path: Path, any_pymilvus: Pymilvus):
    passwords = {"password": "Milvus", "new_password": "not-Milvus-any-more"}
    async with running_stack(tmp_path) as stack:
        await any_pymilvus.run("leave_behind", address=stack.proxies[0].address, **passwords)
    async with running_stack(tmp_path, tls=TlsMode.SERVER) as stack:
        way = {
            "uri": f"https://{stack.proxies[0].address}",
            "token": "root:not-Milvus-any-more",
            "secure": True,
            "server_pem_path": str(tmp_path / "certs" / "ca.pem"),
        }
        report = await any_pymilvus.run("tls", ways=json.dumps({"root": way}))

    assert sorted(report["root_client"]["value"]) == ["frank", "root"]
    assert sorted(report["root_orm"]["value"]) == ["frank", "root"]
