"""All benchmarks of fairness, one after the other. Keys `fair.*`."""

from tests.bench.fair import cut_off, loads, one_address, streams
from tests.bench.report import Report

_PARTS = (loads.run, one_address.run, cut_off.run, streams.run)


async def run(report: Report) -> None:
    for part in _PARTS:
        await part(report)
