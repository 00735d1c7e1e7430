from typing import Any

import pytest
import pytest_asyncio

from deploy.local.stack import LocalStack
from tests.e2e.scenario import Pymilvus, grpc_answer, milvus_answer

pytestmark = pytest.mark.asyncio(loop_scope="session")

REFUSED = ("UNAUTHENTICATED", "auth check failure, please check username and password are correct")


def wrong_old_password(username: str) -> tuple[int, str]:
    return 1400, f"old password not correct for {username}: not authenticated"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client_report(stack: LocalStack, pymilvus: Pymilvus) -> dict[str, Any]:
    address = stack.proxies[0].address
    return await pymilvus.run("accounts_client", address=address, password="Milvus")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def orm_report(stack: LocalStack, pymilvus: Pymilvus) -> dict[str, Any]:
    address = stack.proxies[0].address
    return await pymilvus.run("accounts_orm", address=address, password="Milvus")


async def test_a_user_lives_and_changes_passwords_through_milvus_client(
    client_report: dict[str, Any],
):
    report = client_report

    assert grpc_answer(report["login_before"]) == REFUSED
    assert sorted(report["users"]) == ["ada", "root"]
    assert report["login_created"] == []

    assert grpc_answer(report["stale_connection"]) == REFUSED
    assert grpc_answer(report["login_replaced"]) == REFUSED
    assert report["login_updated"] == []

    assert report["reset_connection"] == []
    assert grpc_answer(report["login_replaced_again"]) == REFUSED
    assert report["login_updated_again"] == []

    assert milvus_answer(report["wrong_old_by_root"]) == wrong_old_password("ada")
    assert milvus_answer(report["wrong_old_of_unknown"]) == wrong_old_password("nobody")
    assert report["login_after_wrong_old"] == []
    assert report["login_after_reset"] == []

    assert grpc_answer(report["dropped_connection"]) == REFUSED
    assert grpc_answer(report["login_dropped"]) == REFUSED
    assert report["users_at_end"] == ["root"]
    assert report["drop_unknown"] is None


async def test_users_and_roles_are_described_by_milvus_client(client_report: dict[str, Any]):
    report = client_report

    assert report["describe_root"]["user_name"] == "root"
    assert list(report["describe_root"]["roles"]) == []
    assert report["describe"]["user_name"] == "ada"
    assert list(report["describe"]["roles"]) == []
    assert report["describe_self"] == report["describe"]
    assert report["describe_unknown"] == {}
    assert sorted(report["roles"]) == ["admin", "public"]
    assert report["describe_admin"]["role"] == "admin"
    assert report["describe_public"]["role"] == "public"


async def test_a_user_lives_and_changes_passwords_through_the_orm(orm_report: dict[str, Any]):
    report = orm_report

    assert sorted(report["users"]) == ["bob", "root"]
    assert report["login_created"] == []

    assert report["reset_connection"] == []
    assert grpc_answer(report["login_replaced"]) == REFUSED
    assert report["login_reset"] == []

    assert grpc_answer(report["stale_connection"]) == REFUSED
    assert grpc_answer(report["login_replaced_again"]) == REFUSED
    assert report["login_updated"] == []

    assert milvus_answer(report["wrong_old_by_root"]) == wrong_old_password("bob")
    assert report["login_after_wrong_old"] == []
    assert report["login_after_reset_by_root"] == []

    assert grpc_answer(report["login_deleted"]) == REFUSED
    assert report["users_at_end"] == ["root"]
    assert report["delete_unknown"] is None


async def test_users_and_roles_are_described_by_the_orm(orm_report: dict[str, Any]):
    report = orm_report

    assert report["user_roles"] == {"bob": []}
    assert report["root_roles"] == {"root": []}
    assert report["all_users"] == {"bob": [], "root": []}
    assert report["roles"] == ["admin", "public"]
