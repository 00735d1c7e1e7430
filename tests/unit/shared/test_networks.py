"""Networks of a configuration, and the addresses in them."""

import pytest

from vecguard.networks import InvalidNetworkError, Networks, parse_ip, parse_network


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (
            "10.0.0.0/8",
            ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"],
            ["11.0.0.0", "::10.0.0.1"],
        ),
        ("192.0.2.1", ["192.0.2.1", "::ffff:192.0.2.1"], ["192.0.2.2", "2001:db8::1"]),
        ("2001:db8::/32", ["2001:db8::1", "2001:db8:ffff::"], ["2001:db9::", "10.0.0.1"]),
        ("fe80::/10", ["fe80::1", "fe80::1%eth0"], ["::1"]),
        ("::ffff:10.0.0.0/104", ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.0"]),
        ("::ffff:192.0.2.1", ["192.0.2.1"], ["192.0.2.2"]),
        ("::/0", ["2001:db8::1"], ["192.0.2.1", "::ffff:192.0.2.1"]),
    ],
)
def test_an_address_is_in_a_network_whichever_way_it_is_written(text, inside, outside):
    networks = Networks.parse(["203.0.113.7", text])
    assert [host in networks for host in inside] == [True] * len(inside)
    assert [host in networks for host in outside] == [False] * len(outside)


@pytest.mark.parametrize("host", ["", "local", "example.com", "10.0.0.0/8"])
def test_what_is_no_address_is_in_no_network(host):
    assert host not in Networks.parse(["0.0.0.0/0", "::/0"])
    assert host not in Networks()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "10.0.0.1/8",
            "'10.0.0.1/8' is no IP network: bits are set after the prefix; 10.0.0.0/8 is",
        ),
        ("10.0.0.0/33", "'10.0.0.0/33' is no IP network: expected an address and a prefix"),
        ("balancer.example.com", "is no IP network: expected"),
        ("10.0.0.0-10.0.0.9", "is no IP network: expected"),
        ("", "is no IP network: expected"),
    ],
)
def test_what_is_no_network_is_refused_with_what_would_be_one(text, complaint):
    with pytest.raises(InvalidNetworkError, match=complaint):
        parse_network(text)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::FFFF:192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0::7", "2001:db8::7"),
        ("fe80::1%eth0", None),
        ("192.0.2.1:1", None),
        ("example.com", None),
    ],
)
def test_an_address_has_one_form(text, host):
    assert parse_ip(text) == host
