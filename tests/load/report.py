"""The report of a run: one HTML file that needs no network, and the same figures as JSON."""

import html
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from tests.load.record import Record, Slice
from tests.load.verdict import Verdict, figures_of

#: What is drawn of one stretch of time; None: there is nothing.
_Line = Callable[[Slice], float | None]

_NOTE = (
    "<p>In milliseconds, from the moment at which an attempt was due, whatever made it wait. "
    "Failed attempts count too.</p>"
)
_NOTHING_AMISS = "No password was accepted that must be refused. No threshold was asked for."
_MEANINGS = {
    "known": "A call with a login that the proxy has in memory.",
    "first": "The first call of a user at this proxy: a read and a bcrypt.",
    "wrong": "A wrong password, another one each time.",
    "change": "A user changes his password; then the next proxy must refuse the old one and accept "
    "the new one. The latency is that of the change.",
    "churn": "A new connection, one call of a known login, and the end of the connection.",
}
_STYLE = """
body { font-family: system-ui, sans-serif; margin: 2em auto; max-width: 75em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 }
td, th { border-bottom: 1px solid #ddd; padding: .3em .8em; text-align: right }
td:first-child, th:first-child, table.facts td { text-align: left }
.good { color: #17692f } .bad { color: #b00020; font-weight: bold }
"""


def write_json(path: Path, records: Sequence[Record], facts: Mapping[str, str], v: Verdict) -> None:
    document = {
        "facts": facts,
        "exit_code": int(v.code),
        "scenarios": {
            name: {key: round(value, 6) for key, value in figures.items()}
            for name, figures in figures_of(records).items()
        },
        "outcomes": {record.name: dict(record.outcomes) for record in records},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")


def write_html(
    path: Path,
    records: Sequence[Record],
    facts: Mapping[str, str],
    verdict: Verdict,
    addresses: Sequence[str],
) -> None:
    """Write the report.

    Args:
        path: of the file.
        records: what was measured.
        facts: what the reader must know of the run; (name, text).
        verdict: what was made of it.
        addresses: of the proxies, in the order of their numbers.
    """
    body = [
        f"<h1>Load test: {html.escape(verdict.code.name.lower())}</h1>",
        _rows([], list(facts.items()), kind="facts"),
        *(
            f'<p class="{"good" if good else "bad"}">{html.escape(text)}</p>'
            for text, good in verdict.lines or [(_NOTHING_AMISS, True)]
        ),
        "<h2>Latencies</h2>",
        _NOTE,
        _summary(records),
        _plot("Percentiles", "percentile", "ms", _curves(records), log=True),
    ]
    for record in records:
        body.append(f"<h2>{html.escape(record.name)}</h2>")
        body.append(f"<p>{_MEANINGS.get(record.name, '')}</p>")
        body.append(_rows(["outcome", "attempts"], record.outcomes.most_common()))
        if len(addresses) > 1:
            body.append(_by_proxy(record, addresses))
        body.append(
            _plot("Latency", "seconds", "ms", _over_time(record, _latency_lines()), log=True)
        )
        body.append(_plot("Attempts", "seconds", "per second", _over_time(record, _rates(record))))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>Load test</title>"
        f"<style>{_STYLE}</style><script>{get_plotlyjs()}</script></head>\n"
        f"<body>{''.join(body)}</body></html>\n",
        encoding="utf-8",
    )


def _summary(records: Sequence[Record]) -> str:
    headings = ["scenario", "attempts", "per second", "failed", "p50", "p90", "p99", "p99.9", "max"]
    rows = []
    for record in records:
        figures = record.figures()
        rows.append(
            (
                *(record.name, f"{record.attempts:,}", f"{figures['rate_rps']:.1f}"),
                f"{record.failed:,}",
                *(f"{figures[name]:.2f}" for name in ("p50_ms", "p90_ms", "p99_ms", "p999_ms")),
                f"{figures['max_ms']:.2f}",
            )
        )
    return _rows(headings, rows)


def _by_proxy(record: Record, addresses: Sequence[str]) -> str:
    return _rows(
        ["proxy", "attempts", "p50 ms", "p99 ms", "max ms"],
        [
            (
                *(addresses[number], len(latencies), f"{latencies.percentile_ms(50):.2f}"),
                *(f"{latencies.percentile_ms(99):.2f}", f"{latencies.max_ms:.2f}"),
            )
            for number, latencies in sorted(record.proxies.items())
        ],
    )


def _rows(
    headings: Sequence[str], rows: Sequence[Sequence[str | int]], *, kind: str = "figures"
) -> str:
    head = "".join(f"<th>{html.escape(each)}</th>" for each in headings)
    lines = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f'<table class="{kind}"><tr>{head}</tr>{lines}</table>'


def _cell(value: str | int) -> str:
    return f"{value:,}" if isinstance(value, int) else value


def _curves(records: Sequence[Record]) -> list[go.Scatter]:
    """Latency by percentile; equal steps to the right leave out ten times fewer attempts."""
    return [
        go.Scatter(
            name=record.name,
            x=[f"{percent:g}" for percent, _ in record.latencies.curve()],
            y=[ms for _, ms in record.latencies.curve()],
            mode="lines+markers",
        )
        for record in records
    ]


def _latency_lines() -> Mapping[str, _Line]:
    return {
        "p50": lambda part: part.latencies.percentile_ms(50) if len(part.latencies) else None,
        "p99": lambda part: part.latencies.percentile_ms(99) if len(part.latencies) else None,
        "max": lambda part: part.latencies.max_ms if len(part.latencies) else None,
    }


def _rates(record: Record) -> Mapping[str, _Line]:
    return {
        "due": lambda part: part.attempts / record.slice_seconds,
        "failed": lambda part: part.failed / record.slice_seconds,
    }


def _over_time(record: Record, lines: Mapping[str, _Line]) -> list[go.Scatter]:
    # Where nothing was due there is a gap, and no line from before to after it.
    numbers = range(math.ceil(record.seconds / record.slice_seconds))
    parts = [record.slices.get(number, Slice()) for number in numbers]
    return [
        go.Scatter(
            name=name,
            x=[number * record.slice_seconds for number in numbers],
            y=[value(part) for part in parts],
            mode="lines+markers",
        )
        for name, value in lines.items()
    ]


def _plot(title: str, x: str, y: str, traces: list[go.Scatter], *, log: bool = False) -> str:
    figure = go.Figure(traces)
    figure.update_layout(title=title, xaxis_title=x, yaxis_title=y, height=340)
    if log:
        # Labels of minor ticks (2, 5) would look like values.
        figure.update_yaxes(type="log", dtick=1)
    if x == "percentile":
        figure.update_xaxes(type="category")
    drawn: str = figure.to_html(
        full_html=False, include_plotlyjs=False, config={"displaylogo": False}
    )
    return drawn
