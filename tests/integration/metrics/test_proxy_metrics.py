"""What a real proxy counts, seen at its operations port."""

import base64

import pytest

from tests.integration.metrics.deployment import ROOT
from tests.support.credentials import header_of
from tests.support.metrics import ask
from tests.support.waiting import eventually
from vecguard.generated.grpc.health.v1 import HealthCheckRequest

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def added(deployment, since, name, **labels):
    return (await deployment.metrics()).value(name, **labels) - since.value(name, **labels)


async def settled(deployment, since, expected, name, **labels):
    """A call is over for its client a moment before the proxy has counted it."""

    async def is_counted():
        return await added(deployment, since, name, **labels) >= expected

    await eventually(is_counted)
    assert await added(deployment, since, name, **labels) == expected


async def test_logins_are_counted_by_result_and_reason(deployment):
    await deployment.create_user("bob", "a password")
    before = await deployment.metrics()
    for _ in range(3):
        assert await deployment.code(login=("bob", "a password")) == "OK"
    for _ in range(2):
        assert await deployment.code(login=("bob", "a wrong one")) == "UNAUTHENTICATED"
    await deployment.code(login=("nobody", "whatever"))
    await deployment.code(login=None)
    await deployment.code(value=b"no base64")
    await deployment.code(value=base64.b64encode(b"some key"))

    for result, reason, count in (
        ("accepted", "checked", 1),
        ("accepted", "known", 2),
        ("refused", "wrong_credentials", 3),
        ("refused", "missing_header", 1),
        ("refused", "malformed_header", 1),
        ("refused", "api_key", 1),
    ):
        counted = await added(
            deployment, before, "vecguard_logins_total", result=result, reason=reason
        )
        assert (reason, counted) == (reason, count)
    for outcome, count in (("accepted", 2), ("refused", 1)):
        counted = await added(deployment, before, "vecguard_login_lookups_total", outcome=outcome)
        assert (outcome, counted) == (outcome, count)
    # Right, wrong and unknown: one bcrypt each.
    verified = await added(deployment, before, "vecguard_bcrypt_seconds_count", operation="verify")
    assert verified == 3
    after = await deployment.metrics()
    assert after.value("vecguard_cache_entries", cache="logins_accepted") >= 1
    assert after.value("vecguard_cache_entries", cache="credentials_unknown") >= 1
    assert after.value("vecguard_verifier_jobs", state="running") == 0


async def test_a_login_in_http_s_basic_scheme_is_known_by_itself(deployment):
    before = await deployment.metrics()
    for scheme in (b"Basic ", b"Basic ", b"basic  "):
        assert await deployment.code(value=scheme + header_of(*ROOT)) == "OK"
    assert await deployment.code(value=b"Bearer " + header_of(*ROOT)) == "UNAUTHENTICATED"
    for result, reason, count in (
        ("accepted", "checked", 2),
        ("accepted", "known", 1),
        ("refused", "malformed_header", 1),
    ):
        counted = await added(
            deployment, before, "vecguard_logins_total", result=result, reason=reason
        )
        assert (reason, counted) == (reason, count)


async def test_the_health_of_a_named_service_is_the_backend_s(deployment):
    check, named = "/grpc.health.v1.Health/Check", bytes(HealthCheckRequest(service="a.B"))
    assert await deployment.code(check) == "OK"
    assert await deployment.code(check, named) == "UNIMPLEMENTED"  # it has no health service


async def test_limited_logins_are_counted_by_the_limit(deployment):
    before = await deployment.metrics()
    codes = [await deployment.code(login=("mallory", f"guess {number}")) for number in range(7)]
    assert codes == ["UNAUTHENTICATED"] * 5 + ["RESOURCE_EXHAUSTED"] * 2
    labels = {"result": "limited", "reason": "login_limited"}
    assert await added(deployment, before, "vecguard_logins_total", **labels) == 2
    assert await added(deployment, before, "vecguard_login_limit_hits_total", limit="pair") == 2
    assert (await deployment.metrics()).value("vecguard_login_limit_tracked", limit="name") >= 1


async def test_questions_to_root_coord_are_timed_by_method(deployment):
    before = await deployment.metrics()
    await deployment.code(login=("never-seen", "whatever"))
    labels = {"method": "GetCredential", "outcome": "ok"}
    asked = await added(deployment, before, "vecguard_proxy_root_coord_calls_total", **labels)
    assert asked >= 1
    name = "vecguard_proxy_root_coord_call_seconds_count"
    assert await added(deployment, before, name, method="GetCredential") == asked


async def test_calls_are_counted_by_method_and_status(deployment):
    before = await deployment.metrics()
    assert await deployment.code("/test.Echo/Unary") == "OK"
    assert await deployment.code("/test.Echo/Fail", b"NOT_FOUND") == "NOT_FOUND"
    assert await deployment.code("/test.Echo/Unary", login=None) == "UNAUTHENTICATED"
    await settled(
        deployment, before, 1, "vecguard_relay_calls_total", method="/test.Echo/Unary", code="OK"
    )
    # It has never answered well, so it has no series of its own.
    await settled(
        deployment, before, 1, "vecguard_relay_calls_total", method="other", code="NOT_FOUND"
    )
    labels = {"method": "/test.Echo/Unary", "code": "UNAUTHENTICATED"}
    await settled(deployment, before, 1, "vecguard_relay_calls_total", **labels)


async def test_a_call_that_its_client_gives_up_counts_as_cancelled(deployment):
    before = await deployment.metrics()
    call = deployment.started("/test.Echo/Open", b"x")
    assert await call.read() == b"x"

    async def is_open():
        return (await deployment.metrics()).value("vecguard_relay_calls_open") == 1

    await eventually(is_open)
    call.cancel()
    labels = {"method": "other", "code": "CANCELLED"}
    await settled(deployment, before, 1, "vecguard_relay_calls_total", **labels)
    assert (await deployment.metrics()).value("vecguard_relay_calls_open") == 0


async def test_a_client_cannot_add_series_by_inventing_methods_or_names(deployment):
    await deployment.code()
    before = await deployment.metrics()
    for number in range(300):
        assert await deployment.code(f"/invented.Service{number}/Method") == "UNIMPLEMENTED"
    for number in range(20):
        await deployment.code(login=(f"invented-{number}", "whatever"))
    labels = {"method": "other", "code": "UNIMPLEMENTED"}
    await settled(deployment, before, 300, "vecguard_relay_calls_total", **labels)
    after = await deployment.metrics()
    new = {(name, labels) for name, labels in after.samples if (name, labels) not in before.samples}
    # At most the record that was never needed before.
    assert {name for name, _ in new} <= {"vecguard_relay_calls_total"}
    assert len(new) <= 2
    assert "invented" not in after.text


async def test_bytes_are_counted_on_both_sides(deployment):
    before = await deployment.metrics()
    assert await deployment.code("/test.Echo/Unary", bytes(100_000)) == "OK"
    for side in ("client", "backend"):
        for direction in ("received", "sent"):
            labels = {"side": side, "direction": direction}
            count = await added(deployment, before, "vecguard_relay_bytes_total", **labels)
            assert 100_000 < count < 110_000, labels


async def test_a_changed_password_is_an_invalidation_and_ends_open_calls(deployment):
    await deployment.create_user("carol", "first password")
    call = deployment.started("/test.Echo/Open", b"x", login=("carol", "first password"))
    assert await call.read() == b"x"
    before = await deployment.metrics()
    await deployment.change_password("carol", "first password", "second password")
    assert (await call.code()).name == "UNAUTHENTICATED"
    assert await added(deployment, before, "vecguard_proxy_invalidations_applied_total") >= 1
    assert await added(deployment, before, "vecguard_proxy_revoked_calls_total") == 1


async def test_levels_are_as_they_are(deployment):
    await deployment.code()
    metrics = await deployment.metrics()
    for name, value in (
        ("vecguard_authorization_enabled", 1),
        ("vecguard_proxy_session_connected", 1),
        ("vecguard_proxy_sessions_opened_total", 1),
        ("vecguard_relay_connections", 1),
        ("vecguard_relay_buffered_bytes", 0),
        ("vecguard_backend_reachable", 1),
        ("vecguard_backend_connections", 1),
    ):
        assert (name, metrics.value(name)) == (name, value)
    assert 0 < metrics.value("vecguard_proxy_lease_remaining_seconds") < 11
    assert metrics.value("vecguard_backend_connects_total", outcome="ok") == 1


async def test_audit_lines_are_counted(deployment):
    await deployment.code(login=("nobody-yet", "whatever"))

    async def is_written():
        return (await deployment.metrics()).value(
            "vecguard_audit_lines_total", outcome="written"
        ) > 0

    await eventually(is_written)
    assert (await deployment.metrics()).value("vecguard_audit_lines_total", outcome="dropped") == 0


async def test_the_operations_port_names_nobody_and_no_password(deployment):
    await deployment.create_user("dorothea", "her password")
    await deployment.code(login=("dorothea", "her password"))
    await deployment.code(login=("dorothea", "another password"))
    for path in ("/", "/metrics", "/healthz", "/readyz", "/livez"):
        _, text = await ask(deployment.operations, path)
        for word in ("dorothea", "her password", "another password", "$2", ROOT[1] + '"'):
            assert word not in text, path
