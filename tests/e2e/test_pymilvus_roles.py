"""Roles, grants, privilege groups and backups through unmodified pymilvus."""

from typing import Any

import pytest
import pytest_asyncio

from deploy.local.stack import LocalStack
from tests.e2e.scenario import Pymilvus, milvus_answer

pytestmark = pytest.mark.asyncio(loop_scope="session")

IP = ": invalid parameter"
SEARCH = ["Collection", "default", "books", "Search", "root"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client_report(stack: LocalStack, pymilvus: Pymilvus) -> dict[str, Any]:
    return await pymilvus.run("roles_client", address=stack.proxies[0].address, password="Milvus")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def orm_report(stack: LocalStack, pymilvus: Pymilvus) -> dict[str, Any]:
    return await pymilvus.run("roles_orm", address=stack.proxies[0].address, password="Milvus")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def backup_report(stack: LocalStack, pymilvus: Pymilvus) -> dict[str, Any]:
    return await pymilvus.run("roles_backup", address=stack.proxies[0].address, password="Milvus")


async def test_a_role_lives_through_milvus_client(client_report: dict[str, Any]):
    report = client_report
    assert milvus_answer(report["create_again"]) == (
        1100,
        f'role [name:"reader"] already exists{IP}',
    )
    assert milvus_answer(report["create_badly"])[0] == 1100
    assert report["roles"] == ["admin", "public", "reader"]
    assert report["describe"]["role"] == "reader"
    assert report["describe"]["privileges"] == []
    assert milvus_answer(report["describe_unknown"]) == (
        1100,
        f'the role "nothing" does not exist{IP}',
    )
    unknown = f"not found the role, maybe the role isn't existed or internal system error{IP}"
    assert milvus_answer(report["drop_again"]) == (1100, unknown)
    assert milvus_answer(report["drop_admin"])[0] == 1401
    assert report["roles_at_end"] == ["admin", "public"]


async def test_a_user_has_roles_through_milvus_client(client_report: dict[str, Any]):
    report = client_report
    assert list(report["user"]["roles"]) == ["reader"]
    assert report["own_user"] == report["user"]
    assert milvus_answer(report["give_unknown"])[0] == 1100
    assert milvus_answer(report["give_to_unknown"]) == (1100, f'user "nobody" not found{IP}')
    assert list(report["user_after"]["roles"]) == []


async def test_privileges_are_granted_and_revoked_through_milvus_client(
    client_report: dict[str, Any],
):
    report = client_report
    load = [
        ["Collection", "db1", "books", privilege, "root"]
        for privilege in ("GetLoadState", "GetLoadingProgress", "Load")
    ]
    assert report["grants"] == [*load, SEARCH]
    assert report["grants_in_default"] == [SEARCH]
    assert report["grants_after_load"] == [SEARCH]
    assert milvus_answer(report["grant_badly"]) == (
        1100,
        f"not found the privilege name[Search] in object[Global]{IP}",
    )
    code, text = milvus_answer(report["drop_with_grants"])
    assert (code, "Use REVOKE API" in text, "[db1 default]" in text) == (1100, True, True)


async def test_the_second_api_works_through_milvus_client(client_report: dict[str, Any]):
    report = client_report
    if "groups" not in report:
        pytest.skip("this pymilvus has no privilege groups")
    assert report["groups"]["readers"] == ["Query"]
    assert len(report["groups"]) == 10
    assert len(report["groups_at_end"]) == 9
    for name in ("create_group_again", "create_group_built_in", "add_unknown", "add_of_cluster"):
        assert milvus_answer(report[name])[0] == 1100
    assert report["grants_v2"] == [
        ["Collection", "default", "books", "Insert", "root"],
        SEARCH,
        ["Global", "db1", "books", "readers", "root"],
        ["Global", "default", "*", "CollectionReadOnly", "root"],
    ]
    assert report["grants_after_v2"] == [SEARCH]
    assert milvus_answer(report["grant_scope"]) == (
        1100,
        "dbName and collectionName should be * for the cluster level privilege: ClusterAdmin" + IP,
    )
    assert milvus_answer(report["grant_unknown"])[0] == 1100
    assert "is used by role [reader]" in milvus_answer(report["drop_group_in_use"])[1]


async def test_a_role_lives_through_the_orm(orm_report: dict[str, Any]):
    report = orm_report
    assert (report["exists_before"], report["exists"], report["exists_at_end"]) == (
        False,
        True,
        False,
    )
    assert report["users"] == ["jo"]
    assert report["roles_of_user"] == ["writer"]
    assert report["roles"] == {"admin": [], "public": [], "writer": ["jo"]}
    assert report["users_after"] == []
    insert = ["Collection", "default", "books", "Insert", "root"]
    assert report["grants"] == [insert, ["Global", "default", "*", "CreateCollection", "root"]]
    assert report["grants_in_database"] == [["Collection", "db1", "*", "Delete", "root"]]
    assert report["grants_on_books"] == [insert]
    assert report["grants_on_nothing"] == []
    assert milvus_answer(report["grants_on_bad_type"])[0] == 1100
    assert milvus_answer(report["drop_with_grants"])[0] == 1100


async def test_a_backup_is_restored(backup_report: dict[str, Any]):
    report = backup_report
    assert report["users"] == {"kim": ["keeper"]}
    assert report["roles"] == ["keeper"]
    assert report["grants"] == [["keeper", "Collection", "default", "books", "Search"]]
    assert report["conflict"] == [
        1100,
        41,
        f"failed to check if rbac restorable: role [keeper] already exists{IP}",
    ]
    assert report["restored"] == [0, 0, ""]
    assert list(report["restored_user"]["roles"]) == ["keeper"]
    assert len(report["restored_role"]["privileges"]) == 1
    assert list(report["login"]["roles"]) == ["keeper"]
    code, _, text = report["no_hash"]
    assert (code, "password of user [kim]" in text) == (1100, True)
    assert report["users_at_end"] == ["root"]
    assert report["roles_at_end"] == ["admin", "public"]
