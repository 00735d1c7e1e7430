from datetime import timedelta

from tests.unit.shared.observability.status_page.reports import NOW, details, process
from vecguard.observability.details import Certificate
from vecguard.observability.health import Check, Health
from vecguard.proxy.workers.health import joined


def said(trouble="", *, message="fine", critical=True):
    return Health((Check("logins", not trouble, critical, trouble or message),))


def checks(health):
    return {check.name: check for check in health.checks}


def test_workers_that_agree_speak_with_one_voice():
    health = joined({1: said(), 2: said()})
    assert health.ready
    assert checks(health)["logins"] == Check("logins", True, True, "fine")
    assert checks(health)["workers"].message == "all 2 workers answer"


def test_one_unhealthy_worker_makes_the_whole_unready_and_is_named():
    health = joined({1: said(), 2: said("no lease"), 3: said()})
    assert not health.ready
    assert [check.message for check in health.failures] == ["worker 2: no lease"]


def test_workers_with_the_same_trouble_are_named_together():
    health = joined({1: said("a"), 2: said("b"), 3: said("a")})
    assert checks(health)["logins"].message == "workers 1, 3: a; worker 2: b"


def test_healthy_workers_may_differ_in_what_they_say():
    health = joined({1: said(message="root coord A"), 2: said(message="root coord B")})
    assert health.ready
    assert checks(health)["logins"].message == "worker 1: root coord A; worker 2: root coord B"


def test_a_warning_of_one_worker_stays_a_warning():
    health = joined({1: said(critical=False), 2: said("no session", critical=False)})
    assert health.ready
    assert [check.message for check in health.warnings] == ["worker 2: no session"]


def test_a_worker_that_says_nothing_makes_the_whole_unready():
    health = joined({1: said(), 2: "gone", 3: "no answer"})
    assert [check.message for check in health.failures] == ["worker 2: gone; worker 3: no answer"]


def test_without_any_answer_there_is_still_a_report():
    health = joined({1: "gone", 2: "gone"})
    assert [check.message for check in health.failures] == ["workers 1, 2: gone"]


def test_the_details_of_all_workers_are_those_of_one_proxy():
    soon, later, never = (
        Certificate(link="public", expires_seconds=seconds) for seconds in (10.0, 20.0, None)
    )
    started = NOW - timedelta(hours=1)
    health = joined(
        {
            1: Health((), details(process(proxy_id="a"), certificates=(later,), started_at=NOW)),
            2: Health((), details(process(proxy_id="b"), certificates=(soon,), started_at=started)),
            3: Health((), details(process(proxy_id="c"), certificates=(never,), started_at=NOW)),
            4: "gone",
        }
    )
    assert health.details is not None
    assert [(each.worker, each.proxy_id) for each in health.details.proxies] == [
        (1, "a"),
        (2, "b"),
        (3, "c"),
    ]
    assert health.details.certificates == (soon,)
    assert health.details.started_at == started


def test_without_details_of_any_worker_there_are_none():
    assert joined({1: said(), 2: "gone"}).details is None
