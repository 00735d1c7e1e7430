"""One run: load without pause, one fault after the other, a verdict at the end."""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

from deploy.local.stack import CHECKOUT
from tests.chaos.checker import check
from tests.chaos.connection_faults import CONNECTION_FAULTS
from tests.chaos.deployment import Deployment, Plan, deployment
from tests.chaos.faults import PROCESS_FAULTS, Fault
from tests.chaos.history import BEHIND_OUR_BACK, Decision, History, Incident, Outcome, Subject
from tests.chaos.report import Report
from tests.chaos.traffic import RECOVERY_SECONDS, Load, Traffic

ALL_FAULTS: tuple[Fault, ...] = (*PROCESS_FAULTS, *CONNECTION_FAULTS)
KEPT = CHECKOUT / "build" / "chaos"
_CALM_SECONDS = 0.5
_OVERLAPPING = 0.25
_DUMP_SECONDS = 1.0


async def run(
    folder: Path,
    *,
    seed: int,
    plan: Plan,
    faults: Sequence[Fault] = ALL_FAULTS,
    changes: int | None = None,
    load: Load | None = None,
    tell: Callable[[str], None] = lambda _: None,
    keep: bool = False,
) -> Report:
    """Injects every fault once in a random order, or on and on until `changes` are acknowledged.

    The history and the processes' logs are kept in build/chaos/ on failure, or always with
    `keep`.
    """
    random, history, stuck = Random(seed), History(), []
    async with deployment(folder, plan) as parts:
        possible = [fault for fault in faults if fault.available(parts)]
        async with Traffic(parts, load or Load(), history, seed) as traffic:
            began = time.monotonic()
            for group in _order(possible, random, forever=changes is not None):
                names = ", ".join(fault.name for fault in group)
                tell(f"{history.acknowledged().total():6} acknowledged; {names}")
                problem = await _disturb(parts, traffic, group, random)
                if problem:
                    stuck.append(f"{names}: {problem}")
                    await _dump_tasks(parts)
                    break
                if changes is not None and history.acknowledged().total() >= changes:
                    break
            seconds = time.monotonic() - began
            await traffic.stop()
            await traffic.look_at_the_end()
    report = Report(seed, seconds, history, check(history), stuck)
    if keep or not report.passed:
        _keep(folder, report)
    return report


def _order(faults: Sequence[Fault], random: Random, *, forever: bool) -> Iterator[Sequence[Fault]]:
    """Groups of faults to inject together; once each, or shuffled again and again."""
    while True:
        waiting = list(faults)
        random.shuffle(waiting)
        while waiting:
            group = [waiting.pop()]
            others = [each for each in waiting if each.victim != group[0].victim]
            if forever and others and random.random() < _OVERLAPPING:
                waiting.remove(others[0])
                group.append(others[0])
            yield group
        if not forever:
            return


async def _disturb(
    parts: Deployment, traffic: Traffic, group: Sequence[Fault], random: Random
) -> str | None:
    """Injects faults at once and waits until the system is well. Returns what is not."""
    problem = None
    try:
        async with asyncio.TaskGroup() as tasks:
            for fault in group:
                tasks.create_task(_inject(parts, traffic.history, fault, Random(random.random())))
    except* TimeoutError:
        problem = "could not be injected in time"
    if problem:
        return problem
    over = time.monotonic()
    while not _recovered(traffic, over):
        traffic.require_running()
        if time.monotonic() > over + RECOVERY_SECONDS:
            return f"no recovery within {RECOVERY_SECONDS:g} s"
        await asyncio.sleep(0.1)
    await asyncio.sleep(random.uniform(0, _CALM_SECONDS))
    return None


async def _inject(parts: Deployment, history: History, fault: Fault, random: Random) -> None:
    began = time.monotonic()
    target = await fault.inject(parts, random)
    history.incidents.append(Incident(fault.name, target, began, time.monotonic()))


def _recovered(traffic: Traffic, since: float) -> bool:
    """Whether changes of passwords and of roles are acknowledged again, and every proxy accepts."""
    changed = {
        change.subject is Subject.PASSWORD
        for change in _newer(traffic.history.changes, since)
        if change.outcome is Outcome.ACKNOWLEDGED and change.proxy != BEHIND_OUR_BACK
    }
    accepting = {
        request.proxy
        for request in _newer(traffic.history.requests, since)
        if request.decision is Decision.ACCEPTED
    }
    return len(changed) == 2 and len(accepting) == len(traffic.clients)


def _newer(records, since: float) -> Iterator:
    for record in reversed(records):
        if record.answered < since:
            return
        if record.sent > since:
            yield record


async def _dump_tasks(parts: Deployment) -> None:
    for process in (*parts.root_coords, *parts.proxies):
        if process.running:
            process.ask_for_tasks()
    await asyncio.sleep(_DUMP_SECONDS)


def _keep(folder: Path, report: Report) -> None:
    target = KEPT / f"{time.strftime('%Y%m%d-%H%M%S')}-{report.seed}"
    report.history.write(target / "history.jsonl")
    (target / "report.txt").write_text(f"{report}\n")
    for log in folder.glob("*.log"):
        shutil.copy(log, target)
