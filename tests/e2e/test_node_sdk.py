"""Milvus's Node SDK reads every answer about accounts as it is meant."""

import json
from typing import Any

import pytest
import pytest_asyncio

from deploy.local.stack import LocalStack
from tests.support.programs import node, node_module, node_script, output_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


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
    "call",
    [
        *("create", "list", "describe", "roles", "role", "grants", "update", "delete"),
        *("create role", "add role", "roles of ned", "create group", "add to group", "groups"),
        *("drop group", "grant", "grants of reader", "backup", "revoke", "remove role"),
        "drop role",
    ],
)
async def test_a_success_has_a_status_that_says_so(found, call):
    assert status_of(found[call]) == (0, "Success")


async def test_results_are_read(found):
    assert sorted(found["list"]["usernames"]) == ["ned", "root"]
    assert [each["user"]["name"] for each in found["describe"]["results"]] == ["ned"]
    assert [each["role"]["name"] for each in found["roles"]["results"]] == ["admin", "public"]


async def test_a_wrong_old_password_is_a_failure(found):
    assert status_of(found["wrong old password"]) == (1400, "UnexpectedError")


async def test_roles_grants_and_groups_are_read(found):
    (ned,) = found["roles of ned"]["results"]
    assert [role["name"] for role in ned["roles"]] == ["node_reader"]
    (grant,) = found["grants of reader"]["entities"]
    assert (grant["grantor"]["privilege"]["name"], grant["db_name"]) == ("Search", "db1")
    groups = {
        group["group_name"]: [privilege["name"] for privilege in group["privileges"]]
        for group in found["groups"]["privilege_groups"]
    }
    assert groups["node_group"] == ["Query"]
    assert len(groups) == 10
    assert [user["user"] for user in found["backup"]["RBAC_meta"]["users"]] == ["ned"]


async def test_a_refused_change_of_roles_is_no_silent_success(found):
    assert status_of(found["create role again"]) == (1100, "CreateRoleFailure")
    assert status_of(found["grant unknown"]) == (1100, "OperatePrivilegeFailure")
