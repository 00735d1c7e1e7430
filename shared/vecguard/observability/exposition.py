"""Writes the text of /metrics in steps, between which the event loop runs other tasks."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

Encode = Callable[[Collector], bytes]

# A sample takes some 5 us; there are thousands when many methods are called.
_SAMPLES_IN_A_STEP: Final = 100
# The end of an exposition of OpenMetrics; the other format has none.
_END: Final = b"# EOF\n"


class Exposition:
    """Answers scrapes one at a time; concurrent scrapes in the same format share the answer."""

    def __init__(self, gather: Callable[[], Awaitable[CollectorRegistry]]) -> None:
        """Takes `gather`, which returns the metrics at the moment of the call."""
        self._gather = gather
        self._running: dict[str, asyncio.Task[bytes]] = {}
        self._turn = asyncio.Lock()

    async def text(self, encode: Encode, content_type: str) -> bytes:
        """Returns all metrics in the format that `encode` writes and `content_type` names."""
        task = self._running.get(content_type)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._make(encode))
            self._running[content_type] = task
            task.add_done_callback(lambda _: self._running.pop(content_type, None))
        # Cancelling one client must not end the answer of the others.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Ends the answers that are being written."""
        tasks = tuple(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _make(self, encode: Encode) -> bytes:
        async with self._turn:
            registry = await self._gather()
            pieces = []
            for metric in registry.collect():
                for part, is_first in _parts(metric):
                    piece = encode(_Only(part)).removesuffix(_END)
                    pieces.append(piece if is_first else _without_head(piece))
                    await asyncio.sleep(0)
            if encode(_Only(None)) == _END:
                pieces.append(_END)
            return b"".join(pieces)


class _Only(Collector):
    """Acts as a registry of one metric, or of none."""

    def __init__(self, metric: Metric | None) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return () if self._metric is None else (self._metric,)


def _parts(metric: Metric) -> Iterator[tuple[Metric, bool]]:
    """Yields the metric in pieces of a few samples, each with whether it is the first piece.

    A counter or histogram with a creation time stays whole: in one of the formats those samples
    are a metric of their own.
    """
    samples = metric.samples
    if len(samples) <= _SAMPLES_IN_A_STEP or any(
        sample.name.endswith(("_created", "_gsum", "_gcount")) for sample in samples
    ):
        yield metric, True
        return
    for start in range(0, len(samples), _SAMPLES_IN_A_STEP):
        part = Metric(metric.name, metric.documentation, metric.type, metric.unit)
        part.samples = samples[start : start + _SAMPLES_IN_A_STEP]
        yield part, start == 0


def _without_head(text: bytes) -> bytes:
    """Removes HELP, TYPE and UNIT, which the first piece has."""
    while text.startswith(b"# "):
        text = text.partition(b"\n")[2]
    return text
