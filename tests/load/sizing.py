"""The table of docs/capacity.md: measured figures and what follows from them."""

from collections.abc import Mapping

#: Work for three quarters of a core: a busier one answers, but later.
FULL = 0.75

_BEGIN, _END = "<!-- figures: begin -->", "<!-- figures: end -->"

Figures = Mapping[str, float]


def filled(page: str, figures: Figures, note: str) -> str:
    """The page with its table replaced.

    Args:
        page: the text of docs/capacity.md.
        figures: what was measured.
        note: a sentence on where and when.

    Raises:
        ValueError: the marks between which the table stands are not there.
        KeyError: a figure is missing.
    """
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"no table between {_BEGIN} and {_END}")
    return f"{before}{begin}\n{_table(figures)}\n{note}\n\n{end}{after}"


def calls_per_core(figures: Figures) -> float:
    return FULL * 1e6 / figures["proxy.call.cpu_us"]


def logins_per_core(figures: Figures) -> float:
    """New logins in a second; each is one bcrypt."""
    return FULL * 1e3 / figures["bcrypt.cpu_ms"]


def sessions_per_root_coord(figures: Figures) -> float:
    """At half of what a core can do, since a root coord has one and changes come on top."""
    return 1000 * 0.5 / figures["root_coord.sessions_1000.idle_core_ratio"]


def memory_per_10000_users(figures: Figures, service: str) -> float:
    """MiB above idle. Not less than nothing: a process may have given memory back."""
    return max(figures[f"{service}.users_10000.rss_mib"] - figures[f"{service}.rss_mib"], 0.0)


def _table(figures: Figures) -> str:
    sessions = "root_coord.sessions_1000"
    rows = [
        ("C", "proxy, one known login, forwarded", figures["proxy.call.cpu_us"], "µs of a core"),
        ("", "known logins a second and core, at 75 %", calls_per_core(figures), "calls/s"),
        ("B", "one bcrypt at cost 10", figures["bcrypt.cpu_ms"], "ms of a core"),
        ("", "new logins a second and core, at 75 %", logins_per_core(figures), "logins/s"),
        (
            *("S", "root coord, 1,000 sessions that only renew"),
            *(figures[f"{sessions}.idle_core_ratio"] * 100, "% of a core"),
        ),
        ("", "sessions of one root coord, at 50 %", sessions_per_root_coord(figures), "sessions"),
        (
            *("K", "root coord, one change sent to 1,000 sessions"),
            *(figures[f"{sessions}.change_cpu_ms"], "ms of a core"),
        ),
        ("", "a change with 100 sessions, p50", _change(figures, 100, 50), "ms"),
        ("", "a change with 100 sessions, p99", _change(figures, 100, 99), "ms"),
        ("", "a change with 1,000 sessions, p50", _change(figures, 1000, 50), "ms"),
        ("", "a change with 1,000 sessions, p99", _change(figures, 1000, 99), "ms"),
        ("W", "etcd, writes for one change", figures["etcd.writes_per_change"], "raft entries"),
        ("", "etcd, syncs to disk for one change", figures["etcd.fsyncs_per_change"], "fsyncs"),
        ("", "proxy, idle", figures["proxy.rss_mib"], "MiB"),
        (
            *("M", "proxy, 10,000 users with known logins, on top"),
            *(memory_per_10000_users(figures, "proxy"), "MiB"),
        ),
        ("", "root coord, idle", figures["root_coord.rss_mib"], "MiB"),
        (
            *("", "root coord, 10,000 users, on top"),
            *(memory_per_10000_users(figures, "root_coord"), "MiB"),
        ),
        ("", "root coord, 1,000 sessions", figures[f"{sessions}.rss_mib"], "MiB in all"),
        ("", "proxy, from start to ready", figures["proxy.start_ms"], "ms"),
        ("", "root coord, from start to ready", figures["root_coord.start_ms"], "ms"),
    ]
    lines = [f"| {sign} | {what} | {_shown(value)} | {unit} |" for sign, what, value, unit in rows]
    return "\n".join(["", "|  | what | figure | unit |", "| --- | --- | --- | --- |", *lines, ""])


def _change(figures: Figures, sessions: int, percent: int) -> float:
    return figures[f"root_coord.sessions_{sessions}.change_p{percent}_ms"]


def _shown(value: float) -> str:
    """Three digits that count; more would claim what the next run does not keep."""
    if value >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"
