"""The relay between programs that are not ours: curl, h2load, nghttp, Node.

grpcio stands in the other tests of this folder, pymilvus in tests/e2e.
"""

import json
import re

import pytest

from tests.support.programs import node, node_module, node_script, output_of, program
from tests.support.raw_http2 import message


def call_by_curl(curl, relay, path, body_file, *more):
    return output_of(
        *(curl, "--http2-prior-knowledge", "--silent", "--show-error", "--include"),
        *("--request", "POST", "--header", "content-type: application/grpc"),
        *("--header", "te: trailers", "--data-binary", f"@{body_file}"),
        *more,
        f"http://{relay.target}{path}",
    )


async def test_curl_posts_a_grpc_frame_and_sees_the_trailers(relay, tmp_path):
    curl = program("curl", "Debian's curl, with HTTP/2")
    body = tmp_path / "body"
    body.write_bytes(message(b"hello"))
    said = await call_by_curl(curl, relay, "/a.B/Unary", body)
    head, _, rest = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/2 200")
    assert b"early: 1" in head
    assert rest.startswith(message(b"hello"))
    trailers = rest.removeprefix(message(b"hello"))
    assert re.search(rb"grpc-status: 0", trailers)
    assert trailers.count(b"late: ") == 2
    await relay.idle()


async def test_curl_sees_an_error_and_a_large_answer(relay, tmp_path):
    curl = program("curl", "Debian's curl, with HTTP/2")
    body = tmp_path / "body"
    body.write_bytes(message(b"NOT_FOUND"))
    assert b"grpc-status: 5" in await call_by_curl(curl, relay, "/a.B/Fail", body)
    body.write_bytes(message(b"16777216"))
    assert len(await call_by_curl(curl, relay, "/a.B/Large", body)) > 2**24
    body.write_bytes(message(bytes(2**24)))
    assert b"16777216" in await call_by_curl(curl, relay, "/a.B/Count", body)
    await relay.idle()


async def test_h2load_runs_a_hundred_streams_on_each_of_ten_connections(relay, backend, tmp_path):
    h2load = program("h2load", "Debian's nghttp2-client")
    body = tmp_path / "body"
    body.write_bytes(message(b"hello"))
    said = await output_of(
        *(h2load, "--requests", "2000", "--clients", "10", "--max-concurrent-streams", "100"),
        *("--data", str(body), "--header", "content-type: application/grpc"),
        *("--header", "te: trailers", f"http://{relay.target}/a.B/Unary"),
    )
    # h2load takes a refusal for a success, so the bytes are counted, too.
    assert b"2000 succeeded, 0 failed, 0 errored" in said
    [data] = re.findall(rb"traffic: .* \((\d+)\) data", said)
    assert int(data) == 2000 * len(message(b"hello"))
    assert len(backend.calls) == 2000
    await relay.idle()


@pytest.mark.parametrize("table_bytes", [0, 1024, 65_536])
async def test_nghttp_calls_with_any_size_of_its_header_table(relay, tmp_path, table_bytes):
    nghttp = program("nghttp", "Debian's nghttp2-client")
    body = tmp_path / "body"
    body.write_bytes(message(b"hello"))
    said = await output_of(
        *(nghttp, "--verbose", f"--header-table-size={table_bytes}", "--data", str(body)),
        *("--header", ":method: POST", "--header", "content-type: application/grpc"),
        *("--header", "te: trailers", f"http://{relay.target}/a.B/Unary"),
    )
    assert b"grpc-status: 0" in said
    await relay.idle()


async def test_grpc_js_makes_every_kind_of_call(relay):
    found = json.loads(
        await output_of(
            *(node(), node_script("grpc_js.cjs"), node_module("@grpc/grpc-js"), relay.target)
        )
    )
    assert found == {
        "unary": [0, "hello", ["1, 2"]],
        "error": [5, "so geht es nicht: 100 % ü"],
        "large request": "16777216",
        "large answer": 2**24,
        "server stream": {"code": 0, "got": ["0", "1", "2", "3", "4"]},
        "bidi": {"code": 0, "got": ["a", "b", "c"]},
        "deadline": 4,
        "cancelled": 1,
        "cancelled stream": 1,
        "parallel": True,
    }
    await relay.idle()


async def test_node_s_http2_calls_cancels_and_pings(relay):
    found = json.loads(await output_of(node(), node_script("http2.cjs"), relay.target))
    assert found == {
        "unary": [200, "hello", "0", "1, 2"],
        "large": [2**24 + 5, "0"],
        "error": "5",
        "cancelled": 8,
        "parallel": True,
        "pong": True,
    }
    await relay.idle()
