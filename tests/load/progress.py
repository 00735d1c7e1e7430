"""What is going on, once a second: a table on a terminal, lines elsewhere."""

import asyncio
import time
from collections.abc import Callable, Sequence

from rich.box import SIMPLE
from rich.console import Console, JustifyMethod
from rich.live import Live
from rich.table import Table

from tests.load.record import Record

_LINE_SECONDS = 5.0


def table(records: Sequence[Record], title: str) -> Table:
    result = Table(title=title, title_justify="left", box=SIMPLE)
    for heading in ("scenario", "done", "under way", "failed"):
        justify: JustifyMethod = "left" if heading == "scenario" else "right"
        result.add_column(heading, justify=justify, no_wrap=True)
    for heading in ("p50 ms", "p90 ms", "p99 ms", "max ms"):
        result.add_column(heading, justify="right", no_wrap=True)
    result.add_column("outcomes")
    for record in records:
        latencies = record.latencies
        result.add_row(
            *(record.name, f"{record.attempts:,}", str(record.under_way), str(record.failed)),
            *(f"{latencies.percentile_ms(percent):.2f}" for percent in (50, 90, 99, 100)),
            ", ".join(f"{label} {count:,}" for label, count in record.outcomes.most_common(5)),
        )
    return result


async def show(
    console: Console,
    records: Sequence[Record],
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Goes on until it is cancelled."""
    begin = clock()

    def title() -> str:
        return f"{min(clock() - begin, seconds):.0f} of {seconds:g} s"

    if not console.is_terminal:
        while True:
            await asyncio.sleep(_LINE_SECONDS)
            console.print(
                f"{title()}: "
                + "; ".join(
                    f"{record.name} {record.attempts} done, {record.failed} failed, "
                    f"p99 {record.latencies.percentile_ms(99):.1f} ms"
                    for record in records
                ),
                highlight=False,
                soft_wrap=True,
            )
    with Live(table(records, title()), console=console, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(1.0)
            live.update(table(records, title()), refresh=True)
