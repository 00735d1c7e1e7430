"""`python -m tests.bench [NAME ...]`: runs the benchmarks and writes build/bench.json."""

import argparse
import asyncio
from functools import partial
from pathlib import Path

from tests.bench import (
    abuse,
    comparison,
    direct,
    failover,
    footprint,
    images,
    memory,
    relay,
    revocation,
    timing,
    tls,
)
from tests.bench.fair import all as fair
from tests.bench.peers.vecguard import COMPILED
from tests.bench.rbac import all as rbac
from tests.bench.report import Report

BENCHMARKS = {
    "memory": memory.run,
    "direct": direct.run,
    "relay": relay.run,
    "peers": comparison.run,
    "tls": tls.run,
    "revocation": revocation.run,
    "failover": failover.run,
    "rbac": rbac.run,
    "abuse": abuse.run,
    "fair": fair.run,
    "timing": timing.run,
    "footprint": footprint.run,
    "images": images.run,
}
TARGET = Path("build/bench.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument(
        "--compiled",
        type=Path,
        default=COMPILED,
        metavar="DIR",
        help="a copy of the sources with compiled modules; without it the keys "
        "with `.compiled` are left out (%(default)s)",
    )
    options = parser.parse_args()
    report = Report()
    try:
        for name in options.names or list(BENCHMARKS):
            print(f"running {name} ...", flush=True)
            run = BENCHMARKS[name]
            if run in (relay.run, comparison.run, rbac.run):
                run = partial(run, compiled=options.compiled)
            asyncio.run(run(report))
    finally:
        # What was found counts, whatever became of the rest.
        print(report.table())
        report.write(TARGET)
        print(f"written to {TARGET}")


if __name__ == "__main__":
    main()
