from xml.etree.ElementTree import tostring

from tests.unit.shared.observability.status_page.reports import history
from vecguard.observability.status_page.login_figures import added_up, login_section
from vecguard.observability.status_page.plot import highest_of, stacked_bars


def test_histories_are_added_interval_by_interval():
    """One process may be an interval behind, or be younger."""
    figures = added_up(
        [
            history({"refused": {"api_key": (1, 2, 3)}}, last_interval=10),
            history({"refused": {"api_key": (10, 20)}}, last_interval=9),
            history({"accepted": {"known": (5,)}}, last_interval=10),
            history({}, last_interval=11),
        ]
    )
    assert figures.rows == {
        ("refused", "api_key"): [11, 22, 3],
        ("accepted", "known"): [0, 0, 5],
    }


def test_a_history_far_behind_makes_the_whole_longer():
    figures = added_up(
        [
            history({"refused": {"api_key": (7,)}}, last_interval=6),
            history({"refused": {"api_key": (1,)}}, last_interval=10),
        ]
    )
    assert figures.rows == {("refused", "api_key"): [7, 0, 0, 0, 1]}


def test_without_logins_there_is_a_sentence():
    (sentence,) = login_section(added_up([history({})]), 120)
    assert "No login" in sentence.text


def test_the_rate_is_that_of_the_last_minute():
    row = (1000,) * 100 + (30,) * 12
    table, *_ = login_section(added_up([history({"refused": {"api_key": row}})]), 120)
    assert b">6.0<" in tostring(table)


def test_a_reason_keeps_its_colour_and_unusual_ones_share_one():
    counts = {"refused": {"api_key": (1,)}, "failed": {"internal": (1,), "bug": (1,)}}
    *_, plots = login_section(added_up([history(counts)]), 120)
    assert [path.get("class") for path in plots[1].iter("path")] == ["c8", "c3"]


def test_bars_stand_on_each_other():
    series = {"c0": [0, 2], "c1": [0, 6]}
    assert highest_of(series, 3) == 8
    lower, upper = (path.get("d") for path in stacked_bars(series, 3, 8, "x"))
    assert lower == "M2 75.00h.85v25.00h-.85z"
    assert upper == "M2 0.00h.85v75.00h-.85z"


def test_nothing_is_drawn_where_nothing_happened():
    (path,) = stacked_bars({"c0": [0, 0]}, 3, 0, "x")
    assert path.get("d") == ""
