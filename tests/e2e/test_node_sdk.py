"""Milvus's Node SDK reads every answer about accounts as it is meant."""

import json
from typing import Any

import pytest
import pytest_asyncio

from deploy.local.stack import LocalStack
from tests.support.programs import node, node_module, node_script, output_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOT_HERE_YET = {
    "create role": "CreateRoleFailure",
    "add role": "OperateUserRoleFailure",
    "grant": "OperatePrivilegeFailure",
    "groups": "ListPrivilegeGroupsFailure",
    "backup": "UnexpectedError",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def found(stack: LocalStack) -> dict[str, Any]:
    script, module = node_script("milvus_sdk.cjs"), node_module("@zilliz/milvus2-sdk-node")
    results: dict[str, Any] = json.loads(
        await output_of(node(), script, module, stack.proxies[0].address)
    )
    return results


def status_of(result: dict[str, Any]) -> tuple[int, str]:
    status = result.get("status", result)
    return status["code"], status["error_code"]


@pytest.mark.parametrize(
    "call", ["create", "list", "describe", "roles", "role", "grants", "update", "delete"]
)
async def test_a_success_has_a_status_that_says_so(found, call):
    assert status_of(found[call]) == (0, "Success")


async def test_results_are_read(found):
    assert sorted(found["list"]["usernames"]) == ["ned", "root"]
    assert [each["user"]["name"] for each in found["describe"]["results"]] == ["ned"]
    assert [each["role"]["name"] for each in found["roles"]["results"]] == ["admin", "public"]


async def test_a_wrong_old_password_is_a_failure(found):
    assert status_of(found["wrong old password"]) == (1400, "UnexpectedError")


@pytest.mark.parametrize("call", NOT_HERE_YET)
async def test_a_change_of_roles_is_no_silent_success(found, call):
    assert status_of(found[call]) == (10, NOT_HERE_YET[call])
