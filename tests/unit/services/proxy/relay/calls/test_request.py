"""What is kept of a request for being sent once more, and when it is given up."""

import pytest

from tests.support.header_blocks import fields
from tests.support.policies import pool_with
from tests.support.raw_http2 import request_headers
from vecguard.proxy.relay.calls.headers import RequestHead
from vecguard.proxy.relay.calls.request import KeptBytes, Request
from vecguard.proxy.relay.upstreams.header_policy import HeaderPolicy
from vecguard.proxy.relay.upstreams.upstream import Upstream


async def no_connection(factory):
    raise OSError


def request(budget):
    upstream = Upstream(
        "backend", no_connection, authority="x", policy=HeaderPolicy(), pool=pool_with()
    )
    return Request(upstream, RequestHead(fields(request_headers())), b"", budget)


@pytest.fixture
def budget():
    return KeptBytes(200_000)


def test_all_of_it_is_kept_in_order_though_a_piece_grows_later(budget):
    kept, growing = request(budget), bytearray(b"b")
    for piece in (b"a", growing, memoryview(b"c")):
        kept.keep(piece)
    growing += b"x"
    kept.keep(b"d")
    assert kept.data() == b"abcd"
    assert kept.may_be_repeated


def test_a_long_request_is_given_up_and_costs_nothing_more(budget):
    kept = request(budget)
    kept.block(None)
    assert budget.used > 0
    for _ in range(5):
        kept.keep(bytes(16_384))
    assert not kept.may_be_repeated
    assert kept.data() == b""
    assert budget.used == 0
    kept.block(None)
    kept.release()
    assert budget.used == 0


def test_all_requests_together_are_bounded(budget):
    requests = [request(budget) for _ in range(10)]
    for kept in requests:
        kept.keep(bytes(40_000))
        assert budget.used <= budget.limit
    assert sum(kept.may_be_repeated for kept in requests) == 5
    for kept in requests:
        kept.release()
    assert budget.used == 0


def test_nothing_goes_round_for_ever(budget):
    kept = request(budget)
    for _ in range(3):
        assert kept.may_be_repeated
        kept.block(None)
    assert not kept.may_be_repeated
