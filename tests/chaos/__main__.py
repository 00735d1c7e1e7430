"""`python -m tests.chaos`: chaos for so many changes, then the guards, then what failures cost."""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from itertools import product
from pathlib import Path

from tests.chaos import campaign, measurements
from tests.chaos.checker import Violation
from tests.chaos.deployment import CLOCK_MARGINS, Plan
from tests.chaos.history import Subject
from tests.chaos.scenarios import play_with_bugs, play_without_bugs


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


async def _run(arguments: argparse.Namespace) -> bool:
    passed = True
    with tempfile.TemporaryDirectory(prefix="vecguard-chaos-") as folder:
        kinds = list(product(arguments.members, arguments.margins))
        acknowledged: Counter[Subject] = Counter()
        for members, margin in kinds:
            _say(
                f"chaos with {members} etcd member(s), clock margin {margin}, seed {arguments.seed}"
            )
            report = await campaign.run(
                Path(folder) / f"members-{members}-margin-{margin}",
                seed=arguments.seed,
                plan=Plan(members=members, margin=margin),
                changes=-(-arguments.changes // len(kinds)),
                tell=_say,
                keep=arguments.keep,
                faults=[each for each in campaign.ALL_FAULTS if arguments.faults in each.name],
            )
            print(report, flush=True)
            passed = passed and report.passed
            acknowledged += report.history.acknowledged()
        of_roles = acknowledged.total() - acknowledged[Subject.PASSWORD]
        _say(f"{acknowledged.total()} changes acknowledged in all, {of_roles} of them of roles")
        passed = passed and of_roles * 2 >= acknowledged.total()
        if arguments.guards:
            passed = await _guards(Path(folder)) and passed
        if arguments.measure:
            passed = await measurements.run(Path(folder), _say) and passed
    return passed


async def _guards(folder: Path) -> bool:
    """Each story without a bug and with each of its bugs."""
    expected = True
    for name, found in (await play_without_bugs(folder / "good")).items():
        _say(f"all guards in place: {name}: {_told(found)}")
        expected = expected and found == []
    for name, found in (await play_with_bugs(folder / "bad")).items():
        _say(f"guard taken away:    {name}: {_told(found)}")
        expected = expected and isinstance(found, list) and found != []
    return expected


def _told(found: list[Violation] | Exception) -> str:
    return f"failed: {found!r}" if isinstance(found, Exception) else f"{len(found)} violations"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--changes", type=int, default=5000, help="acknowledged changes to reach")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--members", type=int, nargs="+", default=[1, 3], choices=[1, 3])
    parser.add_argument(
        "--margins", nargs="+", default=["zero", "large"], choices=list(CLOCK_MARGINS)
    )
    parser.add_argument("--guards", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--measure", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--faults", default="", help="only faults whose name contains this")
    parser.add_argument("--keep", action="store_true", help="keep the history of a good run too")
    sys.exit(not asyncio.run(_run(parser.parse_args())))


if __name__ == "__main__":
    main()
