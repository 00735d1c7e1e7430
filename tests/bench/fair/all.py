"""All benchmarks of fairness, one after the other. Keys `fair.*`."""

from tests.bench.fair import cut_off, idle, inner_ports, loads, one_address, streams
from tests.bench.report import Report

_PARTS = (
    loads.run,
    idle.run,
    inner_ports.run,
    one_address.run,
    streams.run,
    cut_off.run,
)


async def run(report: Report) -> None:
    for part in _PARTS:
        await part(report)
