import asyncio

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tests.support.metrics import Exposition
from vecguard.addresses import LOCAL
from vecguard.boot_clock import boot_clock
from vecguard.config.loading import load_settings
from vecguard.errors import OverloadedError
from vecguard.passwords import hash_password
from vecguard.proxy.app import Proxy
from vecguard.proxy.authentication.verifier import Verifier
from vecguard.proxy.http2.limits import Limit
from vecguard.proxy.metrics import ProxyMetrics
from vecguard.secret import Secret

CHEAP = {"VECGUARD__AUTHENTICATION__BCRYPTCOST": "4"}


@pytest.fixture
async def proxy():
    """Every part in its place, and nothing started."""
    built = Proxy(load_settings(None, CHEAP))
    yield built
    built.close()


def page(proxy):
    return Exposition.parsed(generate_latest(proxy.registry).decode())


async def test_no_series_is_there_twice(proxy):
    text = generate_latest(proxy.registry).decode()
    samples = [line.rpartition(" ")[0] for line in text.splitlines() if line[:1] != "#"]
    assert len(samples) == len(set(samples)) > 50


async def test_every_metric_is_explained(proxy):
    for family in proxy.registry.collect():
        assert family.documentation, family.name


async def test_a_proxy_that_has_not_begun_shows_so(proxy):
    metrics = page(proxy)
    assert metrics.value("vecguard_authorization_enabled") == 1
    assert metrics.value("vecguard_proxy_session_connected") == 0
    assert metrics.value("vecguard_proxy_lease_remaining_seconds") == 0
    assert metrics.labelled("vecguard_logins_total", "result")["refused"] == 0
    assert metrics.labelled("vecguard_relay_limit_hits_total", "limit")["connections"] == 0


async def test_counts_of_the_parts_are_the_metrics(proxy):
    proxy.authentication.counts.known += 3
    proxy.authentication.counts.refused(OverloadedError(""))
    proxy.limit_hits.hit(Limit.STREAMS)
    proxy.listener.balancers.note_untrusted(("192.0.2.1", 1))
    proxy.revocations.invalidate("bob", 7)
    proxy.listener.call_counts.ended(b"/a.B/C", 0)
    metrics = page(proxy)
    assert metrics.value("vecguard_logins_total", result="accepted", reason="known") == 3
    assert metrics.value("vecguard_logins_total", result="overloaded", reason="overloaded") == 1
    assert metrics.value("vecguard_relay_limit_hits_total", limit="streams") == 1
    refused = "vecguard_relay_proxy_headers_refused_total"
    assert metrics.value(refused, reason="untrusted") == 1
    assert metrics.value(refused, reason="missing") == 0
    assert metrics.value("vecguard_relay_forwarded_for_unusable_total") == 0
    assert metrics.value("vecguard_proxy_invalidations_applied_total") == 1
    assert metrics.value("vecguard_relay_calls_total", method="/a.B/C", code="OK") == 1


async def test_the_audit_log_that_is_off_has_no_lines():
    proxy = Proxy(load_settings(None, CHEAP | {"VECGUARD__AUDIT__OUTPUT": "off"}))
    try:
        assert "vecguard_audit_lines_total" not in page(proxy).families
    finally:
        proxy.close()


async def test_bcrypt_is_timed_in_its_thread_and_its_queue_is_seen():
    registry = CollectorRegistry()
    verifier = Verifier(
        threads=1,
        queue_limit=10,
        timeout_seconds=20,
        cost=4,
        clock=boot_clock,
        observe=ProxyMetrics(registry).bcrypt_ran,
    )

    async def verified():
        async with verifier.slot(LOCAL) as slot:
            await verifier.verify(Secret("one"), hash_password(Secret("one"), 4), slot=slot)

    try:
        jobs = [
            asyncio.create_task(verified()),
            asyncio.create_task(verifier.hash(Secret("two"), origin=LOCAL)),
        ]
        await asyncio.sleep(0)  # each has asked for its turn
        assert (verifier.running, verifier.waiting) == (1, 2)
        await asyncio.gather(*jobs)
    finally:
        verifier.close()
    for operation in ("verify", "hash"):
        labels = {"operation": operation}
        assert registry.get_sample_value("vecguard_bcrypt_seconds_count", labels) == 1
        assert 0 < registry.get_sample_value("vecguard_bcrypt_seconds_sum", labels) < 20
