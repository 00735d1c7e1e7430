import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from tests.unit.shared.observability.status_page.reports import (
    NOW,
    check,
    health,
    history,
    process,
    root_coord,
    session,
)
from vecguard.observability.details import Certificate
from vecguard.observability.health import Health
from vecguard.observability.status_page.page import HEADERS, render

MARKUP = "<script>x</script>\"'><img src=x onerror=x>&lt;\ud800\0"


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(page.decode())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data):
        self.text += data


def page(report):
    return render(report, NOW, refreshes=True)


def text(report):
    """What is to be read in the body."""
    body = Elements(page(report).partition(b"<body>")[2])
    return re.sub(r"\s+", " ", body.text)


def test_a_proxy_s_page_says_how_clients_log_in_and_how_long_it_may_decide():
    shown = text(health(process()))
    for words in ("proxy", "version 0.2.0", "up for 4 h", "shows a certificate", "strict", "8.5 s"):
        assert words in shown
    assert "1,200" in shown


def test_a_clock_that_was_set_back_after_the_start_gives_no_negative_time():
    shown = text(health(process(), started_at=NOW + timedelta(hours=1)))
    assert "up for 0 s" in shown


def test_root_coord_s_page_says_since_when_it_is_active_and_who_is_connected():
    shown = text(health(root_coord()))
    for words in ("active", "2026-11-30 09:00:00 UTC", "10.0.0.7:41000", "not the default"):
        assert words in shown


@pytest.mark.parametrize(
    ("checks", "state"),
    [
        ([check("a")], "ready"),
        ([check("a", healthy=False)], "ready, with warnings"),
        ([check("a", healthy=False, critical=True)], "not ready"),
        ([check("role", healthy=False, critical=True)], "standby"),
        ([check(name, healthy=False, critical=True) for name in ("role", "prefix")], "not ready"),
    ],
)
def test_the_title_says_the_state(checks, state):
    title = re.search(r"<title>(.*) · ", page(health(root_coord(), *checks)).decode())
    assert title[1] == state


def test_a_standby_needs_no_attention():
    role = check("role", healthy=False, critical=True, message="the active one is r2:53100")
    shown = text(health(root_coord(term=None, active_since=None, sessions=()), role))
    assert "Needs attention" not in shown
    assert "the active one is r2:53100" in shown


def test_what_is_wrong_comes_first():
    shown = text(health(process(), check("backend", healthy=False, message="cannot be reached")))
    assert shown.index("cannot be reached") < shown.index("Security")


def test_a_proxy_that_changes_wait_for_is_marked():
    waits = session(unacknowledged=2, waiting_seconds=3.4, connected=False, lease_seconds=None)
    shown = text(health(root_coord(sessions=(waits,))))
    for words in ("2 changes, for 3.4 s", "lost", "no lease"):
        assert words in shown


def test_proxies_that_are_not_shown_are_counted():
    assert "950 proxies are not shown" in text(health(root_coord(sessions_left_out=950)))


def test_a_certificate_that_ends_soon_is_marked():
    soon = Certificate(link="public", expires_seconds=3600.0)
    warning = check("tls_public", healthy=False, message="expires in an hour")
    made = page(health(process(), warning, certificates=(soon,))).decode()
    assert '<span class="badge warning">in 1 h</span>' in made


def test_every_worker_has_its_row_and_caches_are_added_up():
    workers = tuple(process(worker=number, caches={"role_sets": 5}) for number in (1, 2))
    shown = text(health(process(), proxies=workers))
    assert "worker 1" in shown
    assert "worker 2" in shown
    assert "role sets10" in shown


def test_without_details_there_is_a_page_about_the_checks():
    assert "every request passes" in text(
        Health((check("authorization", message="every request passes"),))
    )


def test_nothing_from_elsewhere_becomes_an_element_or_an_attribute():
    plain, planted = (
        Elements(
            page(
                health(
                    part,
                    check("tls_public", message=word, healthy=False),
                    check(word, message=word, healthy=False, critical=True),
                    version=word,
                    certificates=(Certificate(link=word, expires_seconds=None),),
                )
            )
        )
        for word in ("harmless", MARKUP)
        for part in (
            process(
                revocation=word,
                proxy_id=word,
                root_coord=word,
                caches={word: 1},
                logins=history({word: {word: (1, 2)}, "accepted": {word: (1, 2)}}),
            ),
        )
    )
    assert planted.tags == plain.tags
    assert planted.attributes == plain.attributes
    assert "<img src=x onerror=x>" in planted.text


def test_nothing_that_a_proxy_says_of_itself_becomes_an_element():
    pages = [
        Elements(
            page(health(root_coord(sessions=(session(proxy_id=word, version=word, address=word),))))
        )
        for word in ("harmless", MARKUP)
    ]
    assert pages[0].tags == pages[1].tags
    assert pages[0].attributes == pages[1].attributes


def test_a_full_page_stays_small():
    sessions = tuple(
        session(proxy_id="x" * 255, version="y" * 255, address="z" * 60) for _ in range(50)
    )
    rows = {f"reason_{number}": (1_000_000,) * 120 for number in range(12)}
    assert len(page(health(root_coord(sessions=sessions, sessions_left_out=950)))) < 100_000
    assert len(page(health(process(logins=history({"refused": rows}))))) < 100_000


def test_it_asks_for_itself_again_unless_it_is_stopped():
    report = health(process())
    assert b'http-equiv="refresh" content="5"' in render(report, NOW, refreshes=True)
    assert b"http-equiv" not in render(report, NOW, refreshes=False)


def test_only_its_own_style_sheet_is_allowed():
    policy = HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert b"style=" not in page(health(process(logins=history({"refused": {"api_key": (1,)}}))))


def test_what_is_off_or_missing_is_said():
    off = process(authentication=False, roles_enforced=False, root_coord=None, lease_seconds=0.0)
    shown = text(health(off, certificates=()))
    for words in (
        "no login is checked",
        "not enforced",
        "no session",
        "No connection is encrypted",
    ):
        assert words in shown
    shown = text(health(root_coord(sessions=(), root_has_default_password=None)))
    for words in ("No proxy has a session", "not known yet"):
        assert words in shown


def test_a_proxy_of_which_no_worker_answers_has_a_page():
    assert "no answer in time" in text(
        health(process(), check("workers", message="no answer in time"), proxies=())
    )
