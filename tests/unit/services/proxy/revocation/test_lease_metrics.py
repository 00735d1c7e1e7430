from prometheus_client import CollectorRegistry

from vecguard.clock_margin import ClockMargin
from vecguard.proxy.revocation.lease import Lease
from vecguard.proxy.revocation.lease_metrics import LeaseCollector


def collected(lease, now):
    registry = CollectorRegistry()
    registry.register(LeaseCollector(lease, lambda: now, "strict"))
    return registry.get_sample_value


def test_the_metrics_tell_what_is_left_of_the_lease():
    lease = Lease(ClockMargin(0.0, 1.0))
    assert collected(lease, 100.0)("vecguard_proxy_lease_remaining_seconds") == 0
    lease.granted_for(10.0)
    lease.renewed(lease.sending(100.0))
    assert collected(lease, 103.0)("vecguard_proxy_lease_remaining_seconds") == 6
    assert collected(lease, 200.0)("vecguard_proxy_lease_remaining_seconds") == 0


def test_the_metrics_name_the_mode():
    sample = collected(Lease(ClockMargin(0.0, 0.0)), 0.0)
    assert sample("vecguard_proxy_revocation_mode", {"mode": "strict"}) == 1
