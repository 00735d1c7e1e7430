"""Draws counts over time as SVG."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final
from xml.etree.ElementTree import Element

from vecguard.observability.status_page.html import element

_HEIGHT: Final = 100.0


def stacked_bars(
    series: Mapping[str, Sequence[int]], intervals: int, highest: int, label: str
) -> Element:
    """Returns bars, one for each interval, in which the series stand on each other.

    Args:
        series: by CSS class, the counts of the latest intervals, the latest last.
        intervals: the number of bars for which there is room.
        highest: the count that is as high as the plot.
        label: what a screen reader says.
    """
    rows = [_padded(row, intervals) for row in series.values()]
    tops = [list(accumulate(column)) for column in zip(*rows, strict=True)]
    paths = [
        element("path", class_=name, d=_bars(row, [top[index] for top in tops], highest))
        for index, (name, row) in enumerate(zip(series, rows, strict=True))
    ]
    return element(
        "svg",
        *paths,
        viewBox=f"0 0 {intervals} {_HEIGHT:g}",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
    )


def highest_of(series: Mapping[str, Sequence[int]], intervals: int) -> int:
    """Returns the greatest sum of the series in one interval."""
    rows = [_padded(row, intervals) for row in series.values()]
    return max((sum(column) for column in zip(*rows, strict=True)), default=0)


def _bars(row: Sequence[int], tops: Sequence[int], highest: int) -> str:
    scale = _HEIGHT / max(highest, 1)
    return "".join(
        f"M{x} {_HEIGHT - top * scale:.2f}h.85v{count * scale:.2f}h-.85z"
        for x, (count, top) in enumerate(zip(row, tops, strict=True))
        if count
    )


def _padded(row: Sequence[int], intervals: int) -> list[int]:
    return [0] * (intervals - len(row)) + list(row[-intervals:])
