"""Metadata and trailers, both ways: through grpcio, and byte by byte."""

import base64

import grpc
import grpc.aio
import pytest
from h2.errors import ErrorCodes
from h2.events import StreamReset

from tests.support.echo_backend import STATUS_DETAILS
from tests.support.raw_http2 import ANSWER, message, raw_client, request_headers
from tests.support.relay import channel, relaying
from vecguard.proxy.relay.upstreams.header_policy import HeaderPolicy

TIMEOUT = 10.0


async def test_metadata_passes_both_ways(client, backend):
    call = client.unary_unary("/a.B/Unary")(
        b"",
        metadata=(("k", "1"), ("x-bin", b"\x00\xff\xfe"), ("k", "2")),
        timeout=TIMEOUT,
    )
    await call
    seen = backend.calls[0]
    assert seen.values("k") == ["1", "2"]
    assert seen.values("x-bin") == [b"\x00\xff\xfe"]
    early = [(key, value) for key, value in await call.initial_metadata()]
    assert ("early", "1") in early
    assert ("early-bin", b"\x00\xff") in early
    assert [(key, value) for key, value in await call.trailing_metadata()] == [
        ("late", "1"),
        ("late", "2"),
        ("late-bin", b"\xfe\x00"),
    ]


async def test_many_headers_pass(client, backend):
    metadata = tuple((f"key-{number % 50}", f"value {number}" * 3) for number in range(400))
    await client.unary_unary("/a.B/Unary")(b"", metadata=metadata, timeout=TIMEOUT)
    seen = backend.calls[0]
    for key in {key for key, _ in metadata}:
        assert seen.values(key) == [value for name, value in metadata if name == key]


@pytest.mark.parametrize(
    "code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK], ids=str
)
async def test_an_error_arrives_with_all_that_it_says(client, code):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.unary_unary("/a.B/Fail")(code.name.encode(), timeout=TIMEOUT)
    assert caught.value.code() is code
    assert caught.value.details() == "so geht es nicht: 100 % ü"
    assert [(key, value) for key, value in caught.value.trailing_metadata()] == [
        ("grpc-status-details-bin", STATUS_DETAILS),
        ("why", "because"),
    ]


async def test_an_error_after_messages_arrives_after_them(client):
    call = client.unary_stream("/a.B/FailAfter")(b"3", timeout=TIMEOUT)
    assert [await call.read() for _ in range(3)] == [b"0", b"1", b"2"]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.ABORTED
    assert caught.value.details() == "enough"


async def test_trailers_of_a_stream_arrive(client):
    call = client.stream_stream("/a.B/Bidi")(iter([b"1", b"2"]), timeout=TIMEOUT)
    assert [answer async for answer in call] == [b"1", b"2"]
    assert ("late", "2") in tuple(await call.trailing_metadata())


# What follows is about bytes that grpcio would not send or not show.

ODD_HEADERS = [
    (b"plain", b"1"),
    (b"broken-bin", b"!!not base64!!"),
    (b"odd-bin", b"A"),
    (b"several-bin", b"AAE=,/w"),
    (b"latin", b"caf\xe9 \xff\x80"),
    (b"plain", b"2"),
    (b"empty", b""),
    (b"grpc-encoding", b"never-heard-of"),
    (b"grpc-unknown", b"x"),
    (b"cookie", b"a=1"),
    (b"cookie", b"b=2"),
    (b"plain", b"1"),
    (b"user-agent", b"test/1"),
    (b"long", b"x" * 20_000),
]


async def test_a_request_s_headers_pass_in_order_byte_by_byte(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        client.request(request_headers(b"/a.B/%C3%A9", *ODD_HEADERS))
        backend, stream_id = await raw_backend.requested()
    headers = backend.headers(stream_id)
    assert headers[:5] == [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/a.B/%C3%A9"),
        (b":authority", f"127.0.0.1:{raw_backend.port}".encode()),
        (b"te", b"trailers"),
    ]
    assert headers[5:] == [
        (b"content-type", b"application/grpc"),
        *ODD_HEADERS,
        (b"x-vecguard-user", b"alice"),
    ]


async def test_a_response_s_headers_and_trailers_pass_in_order_byte_by_byte(raw_relay, raw_backend):
    trailers = [(b"grpc-status", b"0"), *ODD_HEADERS]
    async with raw_client(raw_relay.port) as client:
        mine = client.request()
        backend, stream_id = await raw_backend.requested()
        backend.answer(stream_id, message(b"x"), headers=[*ANSWER, *ODD_HEADERS], trailers=trailers)
        got = await client.response(mine)
    assert got == ([*ANSWER, *ODD_HEADERS], message(b"x"), trailers)


async def test_trailers_only_stays_trailers_only(raw_relay, raw_backend):
    answer = [*ANSWER, (b"grpc-status", b"99"), (b"grpc-message", b"%zz"), (b"why", b"\xff")]
    async with raw_client(raw_relay.port) as client:
        mine = client.request()
        backend, stream_id = await raw_backend.requested()
        backend.h2.send_headers(stream_id, answer, end_stream=True)
        backend.flush()
        assert await client.response(mine) == (answer, b"", [])


async def test_space_around_a_value_is_taken_away_and_harms_nobody(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        mine = client.request(request_headers(b"/a.B/C", (b"k", b" \t v w \t")))
        backend, stream_id = await raw_backend.requested()
        assert (b"k", b"v w") in backend.headers(stream_id)
        backend.answer(stream_id, trailers=[(b"grpc-status", b"0"), (b"k", b" v ")])
        _, _, trailers = await client.response(mine)
    assert trailers == [(b"grpc-status", b"0"), (b"k", b"v")]


@pytest.mark.parametrize(
    "bad",
    [
        (b"X-Vecguard-User", b"root"),
        (b"x-VECGUARD-user", b"root"),
        (b"with space", b"1"),
        (b"colon:inside", b"1"),
        (b"k", b"line\nbreak"),
        (b"k", b"re\rturn"),
        (b"k", b"nul\0"),
        (b"na\xefve", b"1"),
        (b":path", b"/twice"),
    ],
)
async def test_a_malformed_header_costs_one_call_and_not_the_connection(
    raw_relay, raw_backend, bad
):
    async with raw_client(raw_relay.port) as client:
        good = client.request()
        backend, stream_id = await raw_backend.requested()
        refused = client.request(request_headers(b"/a.B/C", bad))
        reset = await client.wait_for(StreamReset, refused)
        assert reset.error_code == ErrorCodes.PROTOCOL_ERROR
        backend.answer(stream_id)
        _, _, trailers = await client.response(good)
        assert trailers == [(b"grpc-status", b"0")]
    assert raw_relay.gatekeeper.seen == [()]


async def test_a_malformed_answer_costs_one_call_and_not_the_connection(raw_relay, raw_backend):
    async with raw_client(raw_relay.port) as client:
        first, second = client.request(), client.request()
        backend, stream_id = await raw_backend.requested()
        backend.answer(stream_id, headers=[*ANSWER, (b"Upper", b"1")])
        headers, _, trailers = await client.response(first)
        assert (b"grpc-status", b"13") in headers + trailers
        await backend.until(lambda: backend.headers(stream_id + 2))
        backend.answer(stream_id + 2)
        assert (await client.response(second))[2] == [(b"grpc-status", b"0")]


async def test_headers_that_mean_nothing_on_the_other_side_stay_behind(raw_relay, raw_backend):
    foreign = [(b"host", b"elsewhere"), (b"te", b"trailers"), (b"content-length", b"0")]
    async with raw_client(raw_relay.port) as client:
        mine = client.request(request_headers(b"/a.B/C", *foreign))
        backend, stream_id = await raw_backend.requested()
        headers = backend.headers(stream_id)
        assert [value for name, value in headers if name == b"te"] == [b"trailers"]
        assert not {b"host", b"content-length"} & {name for name, _ in headers}
        backend.answer(stream_id, headers=[*ANSWER, *foreign])
        headers, _, _ = await client.response(mine)
        assert headers == list(ANSWER)


# Who the call is from.


async def test_authorization_is_not_forwarded_and_the_user_is(relay, backend, client):
    await client.unary_unary("/a.B/Unary")(
        b"", metadata=(("authorization", "cm9vdDpNaWx2dXM="),), timeout=TIMEOUT
    )
    assert relay.gatekeeper.seen == [(b"cm9vdDpNaWx2dXM=",)]
    assert backend.calls[0].values("authorization") == []
    assert backend.calls[0].values("x-vecguard-user") == ["alice"]


async def test_authorization_is_forwarded_when_that_is_set(backend):
    async with (
        relaying(backend.port, policy=HeaderPolicy(authorization=True)) as relay,
        channel(relay.target) as client,
    ):
        await client.unary_unary("/a.B/Unary")(
            b"", metadata=(("authorization", "cm9vdDpNaWx2dXM="),), timeout=TIMEOUT
        )
    assert backend.calls[0].values("authorization") == ["cm9vdDpNaWx2dXM="]


async def test_what_only_the_relay_may_say_is_dropped(relay, backend, client):
    metadata = (
        ("x-vecguard-user", "root"),
        ("x-vecguard-peer", "1.2.3.4:5"),
        ("x-vecguard-anything", "1"),
        ("x-vecguard-bin", b"\x00"),
        ("x_vecguard_user", "root"),
        ("x-vecguard_user", "root"),
        ("x.vecguard.user", "root"),
        ("x_vecguard.peer", "1.2.3.4:5"),
        ("x-vecguardian", "mine"),
        ("authorization", base64.b64encode(b"a:b").decode()),
    )
    await client.unary_unary("/a.B/Unary")(b"", metadata=metadata, timeout=TIMEOUT)
    own = [(key, value) for key, value in backend.calls[0].metadata if "vecguard" in key]
    assert own == [("x-vecguardian", "mine"), ("x-vecguard-user", "alice")]


async def test_an_upstream_with_a_list_sees_only_what_is_on_it(backend):
    policy = HeaderPolicy(only=frozenset((b"content-type", b"dbname")), shows_peer=True)
    async with relaying(backend.port, policy=policy) as relay, channel(relay.target) as client:
        await client.unary_unary("/a.B/Unary")(
            b"", metadata=(("dbname", "d"), ("other", "o")), timeout=TIMEOUT
        )
    seen = backend.calls[0]
    assert seen.values("dbname") == ["d"]
    assert seen.values("other") == []
    assert seen.values("x-vecguard-peer") == ["127.0.0.1"]
