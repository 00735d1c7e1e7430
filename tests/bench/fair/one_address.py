"""First logins and changes of passwords beside 800 guesses from the same address.

Keys `fair.one_address.*`. One proxy alone on SERVER_CORE with its one bcrypt thread, at the default
cost and with login limits off, as where a balancer hides addresses. A guesser has 800 wrong logins
for eight names in flight (root's among them), each repeated at once with another password. From the
same address come, one after the other:

- `first_login_p99_ms`: first logins of users, all of which must pass;
- `change_p99_ms`: changes of passwords by root, whose login is known, all of which must pass;
- `fresh_names.change_p99_ms`: the same, while each guess has a name of its own;
- `fresh_names.first_login_passed_ratio`: the part of first logins that pass then at one attempt.
  Nothing tells such guesses from users who log in first, so this is a share, not a promise.
"""

import asyncio
import base64
import math
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio

from tests.bench.abuse import create_users
from tests.bench.load import login
from tests.bench.processes import LOAD_CORE, SERVER_CORE, children_on
from tests.bench.report import Report
from tests.bench.stacks import etcd_and_root_coord
from tests.support.guessing import Guess, at_fresh_names, at_names, guessing
from tests.support.waiting import eventually
from vecguard.generated.milvus.proto import milvus as pb

FIRST_LOGINS = 40
CHANGES = 20
ATTEMPTS = 40
_GUESSED = ("root", "victim", *(f"absent{number}" for number in range(6)))
_PASSWORD = "right-123"  # as `create_users` gives it
_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
_HEALTH = "/grpc.health.v1.Health/Check"
_UPDATE = "/milvus.proto.milvus.MilvusService/UpdateCredential"
_SECONDS = 15.0
_SETTINGS = {"authentication": {"loginLimits": {"enabled": False}}, "audit": {"output": "off"}}


class Client:
    """A client behind the address."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._check = channel.unary_unary(_HEALTH)
        self._update = channel.unary_unary(_UPDATE)

    async def log_in(self, username: str, password: str) -> None:
        await self._check(b"", metadata=login(username, password), timeout=_SECONDS)

    async def change(self, username: str) -> None:
        password = base64.b64encode(b"another-123").decode()
        request = pb.UpdateCredentialRequest(username=username, new_password=password)
        metadata = login("root", "Milvus")
        if reply := await self._update(bytes(request), metadata=metadata, timeout=_SECONDS):
            raise AssertionError(f"the password of {username} was not changed: {reply!r}")

    async def passes(self, username: str) -> bool:
        try:
            await self.log_in(username, _PASSWORD)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            return False
        return True


async def run(
    report: Report, *, first: int = FIRST_LOGINS, changes: int = CHANGES, attempts: int = ATTEMPTS
) -> None:
    users = [f"user{number:03}" for number in range(first)]
    late = [f"late{number:03}" for number in range(attempts)]
    with tempfile.TemporaryDirectory() as folder, children_on(LOAD_CORE):
        async with etcd_and_root_coord(Path(folder), **_SETTINGS) as stack:
            await create_users(stack, ["victim", "changed", *users, *late])
            proxy = stack.proxies[0]
            with children_on(SERVER_CORE):
                await proxy.start()
            await proxy.wait_ready()
            async with grpc.aio.insecure_channel(proxy.address) as channel:
                client = Client(channel)
                await client.log_in("root", "Milvus")
                async with _guessed(proxy.address, at_names(*_GUESSED)):
                    taken = [await _milliseconds(client.log_in(user, _PASSWORD)) for user in users]
                    report.add("fair.one_address.first_login_p99_ms", _p99(taken))
                    taken = await _changes(client, changes)
                    report.add("fair.one_address.change_p99_ms", _p99(taken))
                async with _guessed(proxy.address, at_fresh_names()):
                    taken, *passed = await asyncio.gather(
                        _changes(client, changes), *(client.passes(user) for user in late)
                    )
                    report.add("fair.one_address.fresh_names.change_p99_ms", _p99(taken))
                    ratio = sum(passed) / len(passed)
                    report.add("fair.one_address.fresh_names.first_login_passed_ratio", ratio)


@asynccontextmanager
async def _guessed(address: str, guess: Guess) -> AsyncIterator[None]:
    """The guesser has filled the line and goes on meanwhile."""
    async with guessing(address, guess) as guessers:

        async def the_line_was_full() -> bool:
            return guessers.statuses[_EXHAUSTED] > 800

        await eventually(the_line_was_full)
        yield


async def _changes(client: Client, changes: int) -> list[float]:
    return [await _milliseconds(client.change("changed")) for _ in range(changes)]


async def _milliseconds(call: Awaitable[None]) -> float:
    begin = time.perf_counter()
    await call
    return (time.perf_counter() - begin) * 1000


def _p99(taken: list[float]) -> float:
    ordered = sorted(taken)
    return ordered[math.ceil(0.99 * len(ordered)) - 1]
