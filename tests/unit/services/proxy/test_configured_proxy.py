"""What the settings say is what the parts of a proxy do, beside its authentication."""

import pytest

from tests.support.credentials import (
    ManualClock,
    ScriptedSource,
    login_settings,
    observed_authentication,
    role_cache,
)
from tests.support.directory import MemoryDirectory
from tests.support.relay_parts import ScriptedGatekeeper
from tests.support.role_directory import MemoryRoles
from vecguard.config import Settings
from vecguard.config.services import ProxySettings
from vecguard.observability.health import HealthReport
from vecguard.proxy.accounts.configured import account_service, permissions
from vecguard.proxy.accounts.permissions import Permissions
from vecguard.proxy.own_services import open_own_services
from vecguard.proxy.permissions.explanations import ExplanationService
from vecguard.proxy.relay import configured
from vecguard.proxy.relay.calls.open_calls import OpenCalls
from vecguard.proxy.relay.limits import limit_hits
from vecguard.proxy.relay.upstreams.routing import Routes
from vecguard.proxy.revocation.configured import open_calls_watch, trust
from vecguard.proxy.revocation.lease import Lease
from vecguard.proxy.revocation.revocations import Revocations
from vecguard.proxy.revocation.trust import BoundedTrust, StrictTrust
from vecguard.proxy.root_coord.configured import open_root_coord


@pytest.fixture
def directory():
    return MemoryDirectory()


@pytest.fixture
def authentication(directory):
    authentication = observed_authentication(directory, clock=ManualClock())
    yield authentication
    authentication.close()


@pytest.mark.parametrize("allowed", [True, False])
def test_permissions_are_the_configured_ones(allowed):
    security = {"super_users": ("admin",), "allow_anonymous_changes": allowed}
    settings = login_settings(common={"security": security})
    assert permissions(settings) == Permissions(frozenset({"admin"}), anonymous_changes=allowed)


@pytest.mark.parametrize("enabled", [True, False])
def test_callers_need_a_user_where_authorization_is_on(directory, authentication, enabled):
    settings = login_settings(common={"security": {"authorization_enabled": enabled}})
    service = account_service(settings, directory, MemoryRoles(directory), authentication)
    assert service.calls.authorization_enabled is enabled


@pytest.mark.parametrize(
    ("revocation", "end_open_calls", "kind", "watches"),
    [
        ("strict", True, StrictTrust, True),
        ("strict", False, StrictTrust, False),
        ("bounded", True, BoundedTrust, False),
    ],
)
def test_only_strict_revocation_needs_a_lease_and_ends_calls_without_one(
    authentication, revocation, end_open_calls, kind, watches
):
    settings = Settings(revocation=revocation, lease={"end_open_calls": end_open_calls})
    lease, clock = Lease(settings.lease.margin), ManualClock()
    revocations = Revocations(
        authentication.credentials,
        authentication.logins,
        role_cache(ScriptedSource(), clock=clock),
        OpenCalls(),
    )
    assert type(trust(settings, lease, clock)) is kind
    watch = open_calls_watch(settings, lease, revocations, clock)
    assert (watch is not None) is watches


async def test_root_coord_s_lease_keeps_the_margin_and_a_change_outlasts_the_lease():
    clock = ManualClock()
    settings = Settings(lease={"ttl": 20.0, "clock_margin": {"ratio": 0.1, "fixed": 1.0}})
    access = open_root_coord(settings, tls=None, clock=clock)
    access.lease.granted_for(20.0)
    access.lease.renewed(access.lease.sending(clock()))
    usable = settings.lease.margin.usable_seconds(20.0)
    assert usable < 20.0
    clock.advance(usable - 0.001)
    assert access.is_under_lease()
    clock.advance(0.002)
    assert not access.is_under_lease()
    assert access.client.mutation_timeout_seconds == 35.0


async def test_requests_and_answers_have_limits_of_their_own():
    sizes = {"server_max_recv_size": 1_000_000, "server_max_send_size": 2_000_000}
    settings = Settings(proxy={"grpc": sizes})
    backend = configured.backend(settings, None, limit_hits())
    listener = configured.listener(
        settings.proxy,
        ScriptedGatekeeper(),
        Routes(table={}, default=backend),
        OpenCalls(),
        hits=limit_hits(),
        origin_of=str,
    )
    reception = listener._reception
    assert (reception.max_request_bytes, reception.max_answer_bytes) == (1_000_000, 2_000_000)
    reception.close()
    backend.close()


def test_load_balancers_are_the_configured_ones():
    policy = configured.balancers(ProxySettings())
    assert "127.0.0.1" not in policy.proxy_header
    assert "127.0.0.1" not in policy.forwarded_for
    policy = configured.balancers(
        ProxySettings(
            proxy_protocol={"trusted": "10.0.0.0/8, 192.0.2.1"},
            forwarded_for={"trusted": ["2001:db8::/32"], "hops": 2},
        )
    )
    assert [host in policy.proxy_header for host in ("10.1.2.3", "192.0.2.1")] == [True, True]
    assert "2001:db8::1" in policy.forwarded_for
    assert "10.1.2.3" not in policy.forwarded_for
    assert policy.hops == 2


async def test_a_change_of_the_own_account_is_not_ended_by_its_own_revocation(
    directory, authentication
):
    settings = login_settings()
    backend = configured.backend(settings, None, limit_hits())
    own = open_own_services(
        account_service(settings, directory, MemoryRoles(directory), authentication),
        ExplanationService(None),
        HealthReport(),
        backend=backend,
        is_draining=lambda: False,
    )
    assert [each.revocable for each in (own.accounts, own.restores, own.health, own.watches)] == [
        False,
        False,
        True,
        True,
    ]
    own.close()
    backend.close()
