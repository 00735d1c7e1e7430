from typing import Any

import pytest
import pytest_asyncio

from deploy.local.stack import LocalStack
from tests.e2e.scenario import Pymilvus, grpc_answer, milvus_answer

pytestmark = pytest.mark.asyncio(loop_scope="session")

REFUSED = ("UNAUTHENTICATED", "auth check failure, please check username and password are correct")
MISSING = ("UNAUTHENTICATED", "missing authorization in header")
NO_API_KEY = ("UNAUTHENTICATED", "auth check failure, please check api key is correct")
NO_TOKEN = ("UNAUTHENTICATED", "invalid token format")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def refusals(stack: LocalStack, pymilvus: Pymilvus) -> dict[str, Any]:
    """What the refusals scenario reports, run once for each pymilvus."""
    return await pymilvus.run("refusals", address=stack.proxies[0].address, password="Milvus")


@pytest.mark.parametrize(
    ("attempt", "answer"),
    [
        ("wrong_password", REFUSED),
        ("unknown_user", REFUSED),
        ("no_credentials", MISSING),
        ("no_colon", NO_API_KEY),
        ("not_base64", NO_TOKEN),
        ("bearer", NO_TOKEN),
        ("source_id", MISSING),
        ("unknown_method", MISSING),
    ],
)
async def test_a_login_that_proves_nothing_is_unauthenticated(
    refusals: dict[str, Any], attempt: str, answer: tuple[str, str]
):
    assert grpc_answer(refusals[attempt]) == answer


@pytest.mark.parametrize(
    ("attempt", "code", "reason"),
    [
        ("create_again", 1100, "user already exists: carol"),
        ("create_root", 1100, "user already exists: root"),
        (
            "short_password",
            1100,
            "invalid password length: invalid parameter[5 out of range 6 <= value <= 256]",
        ),
        (
            "long_password",
            1100,
            "invalid password length: invalid parameter[257 out of range 6 <= value <= 256]",
        ),
        (
            "short_new",
            1100,
            "invalid password length: invalid parameter[5 out of range 6 <= value <= 256]",
        ),
        ("empty_name", 1100, "username must be not empty: invalid parameter"),
        (
            "digit_first",
            1100,
            "invalid user name 1dave, the first character must be a letter, but got 1",
        ),
        (
            "bad_character",
            1100,
            "invalid user name da$ve, username must contain only numbers, letters",
        ),
        (
            "long_name",
            1100,
            f"invalid username {'d' * 33} with length 33, the length of username must be less",
        ),
        ("wrong_old", 1400, "old password not correct for carol: not authenticated"),
        ("delete_root", 1401, "root user cannot be deleted: privilege not permitted"),
    ],
)
async def test_a_request_that_breaks_a_rule_gets_milvus_code_and_reason(
    refusals: dict[str, Any], attempt: str, code: int, reason: str
):
    got_code, got_reason = milvus_answer(refusals[attempt])

    assert (got_code, got_reason[: len(reason)]) == (code, reason)


@pytest.mark.parametrize("attempt", ["carol_creates", "carol_drops", "carol_lists"])
async def test_an_ordinary_user_may_not_rule_over_accounts(refusals: dict[str, Any], attempt: str):
    code, details = grpc_answer(refusals[attempt])

    assert code == "PERMISSION_DENIED"
    assert "carol" in details


async def test_an_ordinary_user_may_not_change_another_password(refusals: dict[str, Any]):
    code, _ = grpc_answer(refusals["carol_takes_root"])

    assert code == "PERMISSION_DENIED"


async def test_root_may_reset_a_password_without_the_old_one(refusals: dict[str, Any]):
    assert refusals["root_resets"] == {"value": None}
    assert refusals["after_reset"] == {"value": None}


async def test_deleting_an_unknown_user_succeeds(refusals: dict[str, Any]):
    assert refusals["create_carol"] == {"value": None}
    assert refusals["drop_carol"] == {"value": None}
    assert refusals["drop_unknown"] == {"value": None}
    assert refusals["users"] == {"value": ["root"]}
