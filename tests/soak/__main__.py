"""`python -m tests.soak --minutes 10`: mixed traffic, restarts, flat memory, every call booked."""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.soak.run import Plan, run


def _tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


async def _run(arguments: argparse.Namespace) -> bool:
    with tempfile.TemporaryDirectory(prefix="vecguard-soak-") as folder:
        plan = Plan(seconds=arguments.minutes * 60, clients=arguments.clients)
        _tell(f"{arguments.minutes:g} minutes, {plan.clients} clients, seed {arguments.seed}")
        report = await run(Path(folder), plan, seed=arguments.seed, tell=_tell)
        print(report, flush=True)
        return report.passed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    sys.exit(not asyncio.run(_run(parser.parse_args())))


if __name__ == "__main__":
    main()
