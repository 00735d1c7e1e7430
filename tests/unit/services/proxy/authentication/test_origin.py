import pytest

from vecguard.addresses import LOCAL
from vecguard.proxy.authentication.origin import origin_of


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, LOCAL),
        ("", LOCAL),
        ("no address", LOCAL),
    ],
)
def test_ipv6_clients_are_told_apart_by_their_network_and_others_by_address(host, origin):
    assert origin_of(host) == origin
