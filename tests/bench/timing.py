"""Can answer times tell whether a user exists? Keys `timing.*`.

Method. A real proxy answers wrong logins one at a time: for a name that exists (its record is
held, as that of anybody who is logged in), and for one that does not. Every probe has a new
password and a name that was not probed for over a second, because that is what an attacker
without special knowledge has; the two kinds alternate in random order, so that whatever else
the machine does meets both alike. Two statistics compare the two samples:

- the area under the ROC curve, which is the Mann-Whitney U divided by the number of pairs: the
  probability that the longer of two answers is the unknown name's. 0.5 says nothing, 1 says
  all. Its distance from 0.5 is the effect size.
- the greatest distance of the two distribution functions (Kolmogorov and Smirnov), which also
  sees what the ranks balance out, such as two humps.

Their p-values come from permutations: the labels are shuffled and the statistics computed again,
which assumes nothing about how answer times are distributed. Small p-values (below 0.01) in
repeated runs mean that the two can be told apart.
"""

import asyncio
import base64
import random
import statistics
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from pathlib import Path

import grpc
import grpc.aio

from tests.bench.load import login
from tests.bench.processes import LOAD_CORE, SERVER_CORE, children_on
from tests.bench.report import Report
from tests.bench.stacks import etcd_and_root_coord
from vecguard.generated.milvus.proto import milvus as pb

PROBES = 400  # of each kind
PERMUTATIONS = 1000
#: As many known users take turns, so that each rests for over a second between two probes.
USERS = 40
_REST_SECONDS = 1.1
_PASSWORD = "right123"
_HEALTH = "/grpc.health.v1.Health/Check"
_CREATE = "/milvus.proto.milvus.MilvusService/CreateCredential"


def roc_area(known: Sequence[float], unknown: Sequence[float]) -> float:
    """The probability that a value of `unknown` is greater than one of `known`; ties are half."""
    ordered = sorted(known)
    below = sum(bisect_left(ordered, value) + bisect_right(ordered, value) for value in unknown)
    return below / 2 / len(known) / len(unknown)


def greatest_distance(known: Sequence[float], unknown: Sequence[float]) -> float:
    """The greatest difference of the two empirical distribution functions."""
    first, second = sorted(known), sorted(unknown)
    return max(
        abs(bisect_right(first, value) / len(first) - bisect_right(second, value) / len(second))
        for value in (*first, *second)
    )


def p_values(
    known: Sequence[float], unknown: Sequence[float], chance: random.Random, rounds: int
) -> tuple[float, float]:
    """How often shuffled labels give a difference as great: by area, and by distance."""
    observed = abs(roc_area(known, unknown) - 0.5), greatest_distance(known, unknown)
    together = [*known, *unknown]
    exceeded = [1, 1]  # the observed labelling is one of the possible ones
    for _ in range(rounds):
        chance.shuffle(together)
        parts = together[: len(known)], together[len(known) :]
        exceeded[0] += abs(roc_area(*parts) - 0.5) >= observed[0]
        exceeded[1] += greatest_distance(*parts) >= observed[1]
    return exceeded[0] / (rounds + 1), exceeded[1] / (rounds + 1)


class Prober:
    """Sends wrong logins, one at a time."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._check = channel.unary_unary(_HEALTH)
        self._count = 0
        self._probed_at: dict[str, float] = {}

    async def log_in(self, username: str, password: str) -> None:
        await self._check(b"", metadata=login(username, password), timeout=30)

    async def milliseconds(self, username: str) -> float:
        """How long the refusal takes, once the name has rested."""
        rested_at = self._probed_at.get(username, 0.0) + _REST_SECONDS
        await asyncio.sleep(max(0.0, rested_at - time.monotonic()))
        self._count += 1
        metadata = login(username, f"wrong-{self._count:08}")
        begin = time.perf_counter()
        try:
            await self._check(b"", metadata=metadata, timeout=30)
        except grpc.aio.AioRpcError as refusal:
            if refusal.code() is not grpc.StatusCode.UNAUTHENTICATED:
                raise
        else:
            raise AssertionError("a wrong password was accepted")
        taken = time.perf_counter() - begin
        self._probed_at[username] = time.monotonic()
        return taken * 1000


async def _create(channel: grpc.aio.Channel, username: str) -> None:
    password = base64.b64encode(_PASSWORD.encode()).decode()
    request = pb.CreateCredentialRequest(username=username, password=password)
    reply = await channel.unary_unary(_CREATE)(
        bytes(request), metadata=login("root", "Milvus"), timeout=30
    )
    if reply:
        raise AssertionError(f"{username} was not created: {reply!r}")


async def samples(address: str, probes: int, chance: random.Random) -> dict[str, list[float]]:
    """Answer times in milliseconds, by kind of name."""
    taken: dict[str, list[float]] = {"known": [], "unknown": []}
    async with grpc.aio.insecure_channel(address) as channel:
        prober = Prober(channel)
        users = [f"known{number:04}" for number in range(USERS)]
        for user in users:
            await _create(channel, user)
            await prober.log_in(user, _PASSWORD)
        await asyncio.sleep(_REST_SECONDS)
        for round_ in range(probes):
            kinds = ["known", "unknown"]
            chance.shuffle(kinds)
            for kind in kinds:
                known = kind == "known"
                name = users[round_ % USERS] if known else f"absent{round_:04}"
                taken[kind].append(await prober.milliseconds(name))
    return taken


async def run(report: Report, *, probes: int = PROBES) -> None:
    """The proxy has one core for itself, everything else the other."""
    chance = random.Random(20)
    settings = {
        "authentication": {"loginLimits": {"enabled": False}},
        "audit": {"output": "off"},
    }
    with tempfile.TemporaryDirectory() as folder, children_on(LOAD_CORE):
        async with etcd_and_root_coord(Path(folder), **settings) as stack:
            proxy = stack.proxies[0]
            with children_on(SERVER_CORE):
                await proxy.start()
            await proxy.wait_ready()
            taken = await samples(proxy.address, probes, chance)
    known, unknown = taken["known"], taken["unknown"]
    report.add("timing.probes", len(known))
    report.add("timing.known.p50_ms", statistics.median(known))
    report.add("timing.unknown.p50_ms", statistics.median(unknown))
    report.add("timing.known.p99_ms", sorted(known)[int(len(known) * 0.99)])
    report.add("timing.unknown.p99_ms", sorted(unknown)[int(len(unknown) * 0.99)])
    report.add("timing.roc_area_ratio", roc_area(known, unknown))
    report.add("timing.distance_ratio", greatest_distance(known, unknown))
    by_area, by_distance = p_values(known, unknown, chance, PERMUTATIONS)
    report.add("timing.roc_area_p_ratio", by_area)
    report.add("timing.distance_p_ratio", by_distance)
