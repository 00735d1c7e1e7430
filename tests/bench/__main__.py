"""`python -m tests.bench [NAME ...]`: runs the benchmarks and writes build/bench.json."""

import argparse
import asyncio
from pathlib import Path

from tests.bench import failover, memory, relay, revocation, tls
from tests.bench.report import Report

BENCHMARKS = {
    "memory": memory.run,
    "relay": relay.run,
    "tls": tls.run,
    "revocation": revocation.run,
    "failover": failover.run,
}
TARGET = Path("build/bench.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    names = parser.parse_args().names or list(BENCHMARKS)
    report = Report()
    for name in names:
        print(f"running {name} ...", flush=True)
        asyncio.run(BENCHMARKS[name](report))
    print(report.table())
    report.write(TARGET)
    print(f"written to {TARGET}")


if __name__ == "__main__":
    main()
