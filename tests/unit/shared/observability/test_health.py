import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.shared.observability.status_page import reports as detailed
from vecguard.config.exposure import Exposure
from vecguard.observability.health import Check, Health, HealthReport, register_exposure

CHECKS = st.lists(
    st.builds(Check, st.text(), st.booleans(), st.booleans(), st.text()), max_size=5
).map(tuple)


@given(CHECKS)
def test_ready_means_that_every_critical_check_is_healthy(checks):
    health = Health(checks)
    assert health.ready == all(each.healthy for each in checks if each.critical)


@given(CHECKS)
def test_every_unhealthy_check_is_a_failure_or_a_warning(checks):
    health = Health(checks)
    assert set(health.failures) | set(health.warnings) == {e for e in checks if not e.healthy}
    assert not any(each.critical for each in health.warnings)


def test_a_check_is_asked_at_each_evaluation():
    report, healthy = HealthReport(), [True]
    report.register("etcd", lambda: Check("etcd", healthy[0], critical=True, message=""))
    assert report.evaluate().ready
    healthy[0] = False
    assert not report.evaluate().ready


def test_a_check_that_fails_to_run_makes_the_process_unready_without_telling_secrets():
    def broken():
        raise RuntimeError("hunter2")

    report = HealthReport()
    report.register("etcd", broken)
    (check,) = report.evaluate().failures
    assert check.name == "etcd"
    assert "RuntimeError" in check.message
    assert "hunter2" not in check.message


def test_a_name_can_be_taken_once():
    report = HealthReport()
    report.register("etcd", lambda: Check("etcd", healthy=True, critical=True, message=""))
    with pytest.raises(ValueError, match="etcd"):
        report.register("etcd", lambda: Check("etcd", healthy=True, critical=True, message=""))


async def test_details_are_made_only_when_they_are_asked_for():
    report, made = HealthReport(), detailed.details(detailed.process())
    report.describe(lambda: made)
    assert (await report.assess()).details is None
    assert (await report.assess(detailed=True)).details is made


async def test_details_that_cannot_be_made_leave_the_checks():
    report = HealthReport()
    report.register("etcd", lambda: Check("etcd", True, True, "fine"))
    report.describe(lambda: 1 / 0)
    health = await report.assess(detailed=True)
    assert health.details is None
    assert health.ready


@pytest.mark.parametrize("exposure", [None, Exposure("a port is open", "close it")])
def test_a_port_that_is_open_to_the_network_without_tls_is_a_warning(exposure):
    report = HealthReport()
    register_exposure(exposure, report)
    health = report.evaluate()
    assert health.ready
    assert [each.message for each in health.warnings] == (
        [] if exposure is None else ["a port is open; close it"]
    )
