"""Makes attempts when they are due, however the earlier ones fare."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

import grpc

from tests.load.arrivals import Arrivals
from tests.load.outcome import Outcome, failure
from tests.load.record import Record


class Scenario(Protocol):
    """One kind of attempt.

    Attributes:
        name: a short word, also in thresholds.
    """

    name: str

    async def prepare(self) -> None:
        """Do what must not be measured. Raises `LoadError` when it cannot be done."""

    async def attempt(self) -> Outcome:
        """One attempt, with a deadline of its own. A call's `grpc.RpcError` may pass."""


@dataclass(frozen=True)
class Driver:
    """Runs scenarios side by side, each with its arrivals.

    Attributes:
        most_under_way: attempts of one scenario at the same time. More are not made and count
            as failed, so that a server that has stopped answering cannot fill this process.
        clock: seconds that only go forward.
    """

    most_under_way: int = 2000
    clock: Callable[[], float] = time.perf_counter

    async def run(
        self,
        scenarios: Mapping[Scenario, Arrivals],
        records: Mapping[Scenario, Record],
        seed: int,
    ) -> None:
        """Returns when the last attempt has been answered or has given up."""
        begin = self.clock()
        async with asyncio.TaskGroup() as tasks:
            for number, (scenario, arrivals) in enumerate(scenarios.items()):
                random = Random(f"{seed}-{number}")
                tasks.create_task(self._drive(scenario, arrivals, records[scenario], random, begin))

    async def _drive(
        self, scenario: Scenario, arrivals: Arrivals, record: Record, random: Random, begin: float
    ) -> None:
        async with asyncio.TaskGroup() as attempts:
            for due in arrivals.offsets(random):
                if (wait := begin + due - self.clock()) > 0:
                    await asyncio.sleep(wait)
                if record.under_way >= self.most_under_way:
                    record.not_made(due)
                    # Others must get on while many are due at once.
                    await asyncio.sleep(0)
                    continue
                # Counted here and not in the task: the bound must hold before it runs.
                record.begun(self.clock() - begin - due)
                attempts.create_task(self._attempt(scenario, record, due, begin))

    async def _attempt(self, scenario: Scenario, record: Record, due: float, begin: float) -> None:
        try:
            outcome = await scenario.attempt()
        except grpc.RpcError as error:
            outcome = failure(error)
        finished = self.clock() if outcome.finished is None else outcome.finished
        record.ended(outcome, due, finished - begin - due)
