"""Account RPCs answer what Milvus 2.3.5 answers, byte by byte, but for known differences."""

import asyncio
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.local.stack import CHECKOUT, LocalStack
from tests.bench.peers.milvus import is_installed
from tests.e2e.account_replies.conversation import ONE_TOO_MANY, STEPS, Answer, decoded, hold
from tests.e2e.account_replies.differences import (
    DIFFERENCES,
    INPUT_ERROR_MARK,
    expected,
    status_of,
)
from tests.e2e.account_replies.recording import answers_of_milvus, recorded

pytestmark = pytest.mark.asyncio(loop_scope="session")

ALL_STEPS = (*STEPS, ONE_TOO_MANY)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def answers(stack: LocalStack) -> dict[str, Answer]:
    return await hold(stack.proxies[0].address)


@pytest.mark.parametrize("step", ALL_STEPS, ids=lambda step: step.name)
async def test_a_reply_is_that_of_milvus_or_a_known_difference(answers, step):
    assert answers[step.name] == expected(step, recorded()[step.name])


async def test_every_reply_has_a_status(answers):
    for step in ALL_STEPS:
        answer = answers[step.name]
        if answer.status is None:
            reply = decoded(step.method, answer.reply)
            assert status_of(reply) is reply or reply.HasField("status"), step.name


async def test_every_known_difference_is_one_and_the_documentation_lists_it():
    theirs = recorded()
    steps = {step.name: step for step in ALL_STEPS}
    page = (CHECKOUT / "docs" / "migration.md").read_text()
    for difference in DIFFERENCES:
        assert f"\n| {difference.title} |" in page
        for name in difference.ours:
            assert expected(steps[name], theirs[name]) != theirs[name], name
    assert f"\n| {INPUT_ERROR_MARK} |" in page


async def test_the_recording_is_what_milvus_answers(tmp_path: Path):
    if not is_installed():
        pytest.skip("Milvus 2.3.5 is not installed: pip install '.[peers]'")
    async with asyncio.timeout(110):
        assert await answers_of_milvus(tmp_path) == recorded()
