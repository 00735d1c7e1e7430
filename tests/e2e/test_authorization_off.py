import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from deploy.local.stack import LocalStack
from tests.e2e.scenario import Pymilvus
from tests.e2e.stacks import running_stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

OFF = {"common": {"security": {"authorizationEnabled": False}}}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def open_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalStack]:
    async with running_stack(tmp_path_factory.mktemp("open"), settings=OFF) as stack:
        yield stack


async def test_everybody_passes_when_authorization_is_off(
    open_stack: LocalStack, pymilvus: Pymilvus
):
    report = await pymilvus.run("open_door", address=open_stack.proxies[0].address)

    assert report == {
        name: {"value": []} for name in ("nothing", "wrong_password", "unknown_user", "api_key")
    }


async def test_health_report_and_log_warn_that_authorization_is_off(open_stack: LocalStack):
    health = await asyncio.to_thread(health_report, open_stack)

    assert any("authorization" in warning for warning in health["warnings"])
    assert any("authorizationEnabled" in line for line in open_stack.proxies[0].recent_lines)


async def test_health_report_says_nothing_of_it_when_authorization_is_on(stack: LocalStack):
    health = await asyncio.to_thread(health_report, stack)

    assert health["warnings"] == []


def health_report(stack: LocalStack) -> Any:
    url = f"http://{stack.proxies[0].operations_address}/healthz"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)
