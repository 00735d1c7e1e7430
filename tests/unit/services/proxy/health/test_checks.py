import pytest

from tests.support.policies import connection_limits_with
from vecguard.errors import UnavailableError
from vecguard.observability.health import HealthReport
from vecguard.proxy.health.checks import HealthChecks
from vecguard.proxy.http2.limits import LimitHits
from vecguard.proxy.relay.clients.connection_limits import ConnectionLimits


class Trust:
    valid = True

    def is_valid(self, now=None):
        return self.valid

    def explain(self):
        return UnavailableError("no contact for 3.0 s")


class Client:
    address = "r1:53100"
    last_error = "connection refused"
    proxy_id = "a1b2"
    sessions_opened = 1
    is_outdated = False


class Backend:
    failure = None


class Harness:
    def __init__(self, enabled, *, anonymous_changes=False, roles_enforced=True):
        self.trust, self.client, self.backend = Trust(), Client(), Backend()
        self.draining = False
        self.now = 0.0
        self.connection_limits = ConnectionLimits(
            connection_limits_with(connections=10, connections_per_address=1),
            LimitHits(),
            clock=lambda: self.now,
        )
        self.report = HealthReport()
        HealthChecks(
            authorization_enabled=enabled,
            anonymous_changes=anonymous_changes,
            roles_enforced=roles_enforced,
            revocation="strict",
            trust=self.trust,
            client=self.client,
            backend=self.backend,
            connection_limits=self.connection_limits,
            is_draining=lambda: self.draining,
        ).register(self.report)

    @property
    def ready(self):
        return self.report.evaluate().ready

    @property
    def warnings(self):
        return [check.name for check in self.report.evaluate().warnings]


@pytest.fixture
def harness():
    return Harness(enabled=True)


def test_all_is_well(harness):
    assert harness.ready
    assert harness.warnings == []


def test_it_names_itself_as_root_coord_knows_it(harness):
    (message,) = (c.message for c in harness.report.evaluate().checks if c.name == "root_coord")
    assert message == "session with root coord at r1:53100 as proxy a1b2"


def test_roles_that_are_not_enforced_are_a_warning():
    harness = Harness(enabled=True, roles_enforced=False)
    assert harness.ready
    (warning,) = harness.report.evaluate().warnings
    assert warning.name == "roles"
    assert "not enforced" in warning.message
    # Without users there are no roles.
    assert Harness(enabled=False, roles_enforced=False).warnings == ["authorization"]


def test_without_a_lease_it_is_not_ready(harness):
    harness.trust.valid = False
    (failure,) = harness.report.evaluate().failures
    assert failure.name == "logins"
    assert "3.0 s" in failure.message
    assert "connection refused" in failure.message


def test_before_the_first_session_it_is_not_ready(harness):
    harness.client.sessions_opened = 0
    assert not harness.ready


def test_without_a_session_but_with_a_lease_it_is_ready(harness):
    harness.client.address = None
    assert harness.ready
    assert harness.warnings == ["root_coord"]


def test_a_root_coord_that_takes_no_changes_is_named_with_what_to_do(harness):
    harness.client.is_outdated = True
    assert harness.ready
    (warning,) = harness.report.evaluate().warnings
    assert warning.name == "root_coord"
    assert "r1:53100" in warning.message
    assert "upgrade root coord" in warning.message


@pytest.mark.parametrize("has_lease", [True, False])
def test_known_logins_are_said_to_go_on_only_while_they_do(harness, has_lease):
    harness.client.address = None
    harness.trust.valid = has_lease
    (warning,) = harness.report.evaluate().warnings
    assert warning.message.startswith("no session")
    assert ("cached logins still pass" in warning.message) is has_lease


def test_while_it_drains_it_is_not_ready(harness):
    harness.draining = True
    assert not harness.ready


def test_a_lost_backend_does_not_make_it_unready(harness):
    harness.backend.failure = "backend b:1 cannot be reached (Connection refused), try again"
    assert harness.ready
    assert harness.warnings == ["backend"]


def test_a_full_proxy_is_degraded_and_not_unready(harness):
    harness.connection_limits.enter("192.0.2.1")
    assert harness.warnings == []
    harness.connection_limits.enter("192.0.2.1")
    assert harness.ready
    assert harness.warnings == ["connections"]
    (check,) = harness.report.evaluate().warnings
    assert "1 connections, 1 of them without an admitted call" in check.message
    assert "192.0.2.1" not in check.message
    harness.now = 60.0
    assert harness.warnings == []


@pytest.mark.parametrize("anonymous_changes", [True, False])
def test_with_authorization_off_it_says_whether_everybody_may_change_users(anonymous_changes):
    harness = Harness(enabled=False, anonymous_changes=anonymous_changes)
    (warning,) = harness.report.evaluate().warnings
    assert warning.message.startswith("off: every request passes")
    assert ("change the users" in warning.message) is anonymous_changes


def test_anonymous_changes_mean_nothing_with_authorization_on():
    assert Harness(enabled=True, anonymous_changes=True).warnings == []


def test_with_authorization_off_no_lease_is_needed():
    harness = Harness(enabled=False)
    harness.trust.valid = False
    assert harness.ready
    assert harness.warnings == ["authorization", "logins"]
