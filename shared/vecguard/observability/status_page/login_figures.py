"""Adds up the logins of a proxy's processes, and lays them out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element

from vecguard.observability.details import LoginHistory
from vecguard.observability.status_page.html import element
from vecguard.observability.status_page.plot import highest_of, stacked_bars
from vecguard.observability.status_page.tables import table

_MINUTE: Final = 60
#: Ends that are no refusal: the call went on, or its client went away.
_NO_REFUSAL: Final = ("accepted", "abandoned")
#: Classes of the style sheet. A reason keeps its colour, whatever else occurs.
_COLOURS: Final = {
    "wrong_credentials": "c0",
    "missing_header": "c1",
    "malformed_header": "c2",
    "api_key": "c3",
    "login_limited": "c4",
    "overloaded": "c5",
    "unavailable": "c6",
    "deadline_exceeded": "c7",
}
_OTHER_COLOUR: Final = "c8"

Rows = dict[tuple[str, str], list[int]]


@dataclass(frozen=True, slots=True)
class Figures:
    """The logins of all processes together.

    Attributes:
        rows: by result and reason, a count for each interval, the latest last.
        interval_seconds: the length of an interval.
        intervals: how many intervals the rows have.
    """

    rows: Mapping[tuple[str, str], list[int]]
    interval_seconds: float
    intervals: int


def added_up(histories: Iterable[LoginHistory]) -> Figures:
    """Returns the sums of the histories, interval by interval."""
    known = [each for each in histories if each.counts]
    if not known:
        return Figures({}, 1.0, 0)
    last = max(each.last_interval for each in known)
    lengths = [
        len(row) + last - each.last_interval
        for each in known
        for reasons in each.counts.values()
        for row in reasons.values()
    ]
    intervals = max(lengths)
    rows: Rows = {}
    for each in known:
        # One process may be an interval behind another.
        late = last - each.last_interval
        for result, reasons in each.counts.items():
            for reason, row in reasons.items():
                sums = rows.setdefault((result, reason), [0] * intervals)
                for back, count in enumerate(reversed(row)):
                    sums[intervals - 1 - late - back] += count
    return Figures(rows, known[0].interval_seconds, intervals)


def login_section(figures: Figures, intervals: int) -> Iterable[Element]:
    """Yields the parts of the section; `intervals` is the width of a plot."""
    if not figures.rows:
        yield element("p", "No login has ended in the last minutes.", class_="quiet")
        return
    refused = {key: row for key, row in sorted(figures.rows.items()) if key[0] not in _NO_REFUSAL}
    accepted = {key: row for key, row in sorted(figures.rows.items()) if key[0] == "accepted"}
    colours = {key: _COLOURS.get(key[1], _OTHER_COLOUR) for key in refused}
    minutes = intervals * figures.interval_seconds / _MINUTE
    yield table(
        ("Result", "Reason", "Per second", f"Last {minutes:.0f} min"),
        [
            (
                result,
                _reason(reason, colours.get((result, reason))),
                f"{_per_second(row, figures):.1f}",
                f"{sum(row):,}",
            )
            for (result, reason), row in sorted(figures.rows.items(), key=_accepted_first)
        ],
        numbers=(2, 3),
    )
    yield element("p", "Per second: the average of the last minute.", class_="quiet note")
    plots = (
        ("Accepted", {"accepted": _sum(accepted.values(), figures.intervals)}),
        ("Refused, by reason", _by_colour(refused, colours, figures.intervals)),
    )
    yield element(
        "div",
        *(_plot(title, series, figures, intervals, minutes) for title, series in plots),
        class_="plots",
    )


def _accepted_first(row: tuple[tuple[str, str], list[int]]) -> tuple[bool, str, str]:
    (result, reason), _ = row
    return result != "accepted", result, reason


def _plot(
    title: str,
    series: Mapping[str, list[int]],
    figures: Figures,
    intervals: int,
    minutes: float,
) -> Element:
    highest = highest_of(series, intervals)
    peak = f"at most {highest / figures.interval_seconds:.1f} per second"
    return element(
        "figure",
        element("figcaption", element("strong", title), element("span", peak)),
        stacked_bars(series, intervals, highest, f"{title}: {peak}"),
        element(
            "div",
            element("span", f"{minutes:.0f} minutes ago"),
            element("span", "now"),
            class_="axis",
        ),
    )


def _by_colour(
    rows: Mapping[tuple[str, str], list[int]], colours: Mapping[tuple[str, str], str], length: int
) -> dict[str, list[int]]:
    grouped: dict[str, list[list[int]]] = {}
    for key, row in rows.items():
        grouped.setdefault(colours[key], []).append(row)
    return {colour: _sum(of_colour, length) for colour, of_colour in grouped.items()}


def _sum(rows: Iterable[list[int]], length: int) -> list[int]:
    return [sum(column) for column in zip([0] * length, *rows, strict=True)]


def _reason(reason: str, colour: str | None) -> Element:
    key = element("i", class_=f"key {colour}") if colour else None
    return element("span", key, reason)


def _per_second(row: list[int], figures: Figures) -> float:
    latest = row[-max(1, round(_MINUTE / figures.interval_seconds)) :]
    return sum(latest) / (len(latest) * figures.interval_seconds)
