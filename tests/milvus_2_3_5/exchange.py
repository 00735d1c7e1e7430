"""One store, on which Milvus 2.3.5 and our services take turns."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deploy.local.ports import LOOPBACK, Ports
from deploy.local.stack import LocalStack
from tests.bench.peers.milvus import milvus_server
from tests.e2e.stacks import CHEAP_PASSWORDS, clean_environment
from tests.milvus_2_3_5 import cases, policy
from tests.milvus_2_3_5.cases import Case, Outcome
from tests.milvus_2_3_5.policy import Policy

_SEED = 16
# Milvus's default is 10.
_MANY_ROLES = {"PROXY_MAXROLENUM": "1000"}
_USERS, _ROLES = 40, 30
# In the second turn there are nearly twice as many users.
_FIRST_CASES, _SECOND_CASES = 60, 32


@dataclass(frozen=True)
class Answers:
    """What one server says of a policy."""

    policy: Policy
    outcomes: list[Outcome]


@dataclass(frozen=True)
class Turn:
    """What both say of a policy that one of them wrote.

    Attributes:
        ours_by_header: our decisions without a database in the request.
    """

    cases: list[Case]
    milvus: Answers
    ours: Answers
    ours_by_header: list[Outcome]


@dataclass(frozen=True)
class Exchange:
    milvus_wrote: Turn
    we_wrote: Turn


async def exchange(folder: Path) -> Exchange:
    """Milvus writes and decides; ours reads, decides, changes, writes; Milvus reads and decides.

    Our proxy's backend is a Milvus Lite, which has no users: whatever it answers was allowed.
    """
    dice = random.Random(_SEED)
    stack = LocalStack(
        folder / "stack",
        ports=Ports.free(),
        settings_overrides=CHEAP_PASSWORDS,
        environment=clean_environment(),
    )
    first = policy.generated(dice, "first", users=_USERS, roles=_ROLES)
    second = policy.generated(dice, "second", users=_USERS, roles=_ROLES)
    async with _milvus(folder / "milvus", stack) as address:
        methods = await cases.known_methods(address)
        first_cases = cases.generated(dice, first, methods, _FIRST_CASES)
        await _as_root(address, policy.write, first)
        milvus_first = await _answers(address, first_cases)
    async with stack:
        address = stack.proxies[0].address
        ours_first = await _answers(address, first_cases)
        first_by_header = await cases.ask(address, _by_header(first_cases))
        await _as_root(address, policy.change, first, dice)
        await _as_root(address, policy.write, second)
        await _as_root(address, policy.write_later)
        stored = await _as_root(address, policy.listed)
        second_cases = cases.generated(dice, stored, methods, _SECOND_CASES)
        ours_second = await _answers(address, second_cases)
        second_by_header = await cases.ask(address, _by_header(second_cases))
    async with _milvus(folder / "milvus", stack) as address:
        milvus_second = await _answers(address, second_cases)
    return Exchange(
        Turn(first_cases, milvus_first, ours_first, first_by_header),
        Turn(second_cases, milvus_second, ours_second, second_by_header),
    )


def _by_header(asked: list[Case]) -> list[Case]:
    return [replace(case, body="") for case in asked]


async def _answers(address: str, asked: list[Case]) -> Answers:
    return Answers(await _as_root(address, policy.listed), await cases.ask(address, asked))


async def _as_root(address: str, use: Callable[..., Any], *arguments: Any) -> Any:
    with policy.root_client(address) as client:
        return await asyncio.to_thread(use, client, *arguments)


@asynccontextmanager
async def _milvus(folder: Path, stack: LocalStack) -> AsyncIterator[str]:
    """A Milvus on the stack's store, while the rest of the stack does not run."""
    stack.data_dir.mkdir(parents=True, exist_ok=True)
    await stack.etcd.start()
    try:
        await stack.etcd.wait_ready()
        endpoint = f"{LOOPBACK}:{stack.ports.etcd}"
        async with milvus_server(folder, etcd=endpoint, settings=_MANY_ROLES) as server:
            yield f"{LOOPBACK}:{server.port}"
    finally:
        await stack.etcd.stop()
