"""`python -m tests.load.capacity`: measures what docs/capacity.md needs and fills its table.

About four minutes on a quiet machine with two cores. Figures also go to build/capacity.json.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from deploy.local.stack import CHECKOUT
from tests.bench import footprint
from tests.bench.report import Report
from tests.load.capacity_parts import control_plane, data_plane
from tests.load.sizing import filled

PAGE = CHECKOUT / "docs" / "capacity.md"
FIGURES = Path("build/capacity.json")

PARTS: Mapping[str, Callable[[Report], Coroutine[Any, Any, None]]] = {
    "data plane": data_plane.run,
    "control plane": control_plane.run,
    "footprint": footprint.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.capacity", description=__doc__)
    parser.add_argument(
        "--dry-run", action="store_true", help="print the table and leave docs/capacity.md alone"
    )
    options = parser.parse_args()
    load_before = os.getloadavg()[0]
    report = Report()
    for name, run in PARTS.items():
        print(f"measuring the {name} ...", flush=True)
        asyncio.run(run(report))
    report.write(FIGURES)
    page = filled(PAGE.read_text(encoding="utf-8"), report.figures, _note(load_before))
    if options.dry_run:
        print(report.table())
    else:
        PAGE.write_text(page, encoding="utf-8")
        print(f"{PAGE.name} is filled; the figures are in {FIGURES}")


def _note(load_before: float) -> str:
    machine = json.loads(FIGURES.read_text())["machine"]
    return (
        f"Measured on {time.strftime('%Y-%m-%d')}: {machine['processor']}, "
        f"{len(os.sched_getaffinity(0))} cores, Python {machine['python']}; load average before "
        f"it began: {load_before:.1f} (a quiet machine has less than 0.5)."
    )


if __name__ == "__main__":
    main()
