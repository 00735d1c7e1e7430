"""The client in `x-forwarded-for`: what trusted proxies have appended, not what a client wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.proxy.relay.clients.balancers import Forwarding
from vecguard.proxy.relay.clients.forwarded_for import forwarded_host


@pytest.mark.parametrize(
    ("values", "hops", "host"),
    [
        ([b"192.0.2.1"], 1, "192.0.2.1"),
        ([b"203.0.113.9, 192.0.2.1"], 1, "192.0.2.1"),
        ([b"203.0.113.9", b"192.0.2.1"], 1, "192.0.2.1"),
        ([b"203.0.113.9,192.0.2.1\t"], 1, "192.0.2.1"),
        ([b"203.0.113.9, 192.0.2.1, 10.0.0.1"], 2, "192.0.2.1"),
        ([b"203.0.113.9", b"192.0.2.1, 10.0.0.1"], 2, "192.0.2.1"),
        ([b"192.0.2.1, 10.0.0.1"], 2, "192.0.2.1"),
        ([b"anything at all, 192.0.2.1"], 1, "192.0.2.1"),
        ([b"192.0.2.1:50000"], 1, "192.0.2.1"),
        ([b"2001:DB8::7"], 1, "2001:db8::7"),
        ([b"[2001:db8::7]"], 1, "2001:db8::7"),
        ([b"[2001:db8::7]:50000"], 1, "2001:db8::7"),
        ([b"::ffff:192.0.2.1"], 1, "192.0.2.1"),
        ([b"[::ffff:192.0.2.1]:1"], 1, "192.0.2.1"),
    ],
)
def test_the_entry_of_the_outermost_trusted_proxy_is_the_client(values, hops, host):
    assert forwarded_host(values, hops) == host


@pytest.mark.parametrize(
    ("values", "hops"),
    [
        ([], 1),
        ([b""], 1),
        ([b"192.0.2.1"], 2),
        ([b"192.0.2.1, "], 1),
        ([b"192.0.2.1", b""], 1),
        ([b"192.0.2.1, unknown"], 1),
        ([b"192.0.2.1, _hidden"], 1),
        ([b"203.0.113.9, example.com, 10.0.0.1"], 2),
        ([b"192.0.2.1:"], 1),
        ([b"192.0.2.1:http"], 1),
        ([b"[192.0.2.1]"], 1),
        ([b"[2001:db8::7"], 1),
        ([b"[2001:db8::7]x"], 1),
        ([b"[2001:db8::7]:\xb2"], 1),
        ([b"fe80::1%eth0"], 1),
        ([b"192.0.2.1 192.0.2.2"], 1),
        ([b"192.0.2.\xff"], 1),
        ([b"2" * 65], 1),
    ],
)
def test_without_a_usable_entry_there_is_none(values, hops):
    assert forwarded_host(values, hops) is None


@given(st.lists(st.binary(max_size=30)), st.integers(1, 4))
def test_nothing_that_a_client_writes_changes_what_the_proxies_append(written, hops):
    appended = [f"192.0.2.{number}".encode() for number in range(hops)]
    assert forwarded_host([*written, *appended], hops) == "192.0.2.0"


class Balancer:
    """A connected balancer with a certificate of its own."""

    origin = "10.0.0.1"

    def host(self):
        return "10.0.0.1"

    def certificate(self):
        return {"subject": ((("commonName", "root"),),)}


@pytest.mark.parametrize("values", [[b"192.0.2.1"], []])
def test_the_certificate_of_a_balancer_names_none_of_its_clients(values):
    assert Forwarding(1, str).client_of(Balancer(), values).certificate() is None
