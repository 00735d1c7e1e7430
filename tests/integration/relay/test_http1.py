"""Callers who speak HTTP/1 to the port of gRPC."""

import asyncio
from http.client import HTTPConnection

import pytest

from tests.support.logs import every_log_line
from tests.support.policies import bounds_with, lifetime_with
from tests.support.programs import output_of, program
from tests.support.relay import relaying
from vecguard.proxy.relay import link
from vecguard.proxy.relay.clients import client_link
from vecguard.proxy.relay.clients.http1 import ANSWER

TIMEOUT = 10.0
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def said_to(port, *pieces):
    """All that the port says until it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return await asyncio.wait_for(reader.read(), TIMEOUT)
    finally:
        writer.transport.abort()


def ask(port, method, body=None):
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    connection.request(method, "/v2/vectordb/users/list", body=body)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


@pytest.mark.parametrize(
    ("method", "body"), [("GET", None), ("POST", b"{}"), ("PUT", bytes(2**20))]
)
async def test_an_http1_request_is_told_what_the_port_is(relay, method, body):
    status, headers, text = await asyncio.to_thread(ask, relay.port, method, body)
    assert status == 400
    assert headers["content-type"].startswith("text/plain")
    assert headers["connection"] == "close"
    assert b"gRPC over HTTP/2" in text
    assert b"operations port" in text


@pytest.mark.parametrize(
    "pieces",
    [
        (GET,),
        tuple(bytes((octet,)) for octet in GET),
        (b"PRI", b" / HTTP/1.0\r\n"),  # as the preface of HTTP/2 begins
        (b"GET /" + b"a" * 8000 + b" HTTP/1.1\n",),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n",),
        (b"GET /" + b"a" * 4000, b"a" * 9000),
        (b"GET /" + b"a" * 8180 + b" HTTP/1.1\r\n",),
        tuple(bytes((octet,)) for octet in b"\r\n\r\n" + GET),
        (b"\n" + GET,),
        ("GET /имя HTTP/1.1\r\n".encode(),),
    ],
    ids=[
        "at once",
        "byte by byte",
        "PRI",
        "long",
        "too long",
        "too long in pieces",
        "too long by some bytes",
        "after empty lines",
        "after half an empty line",
        "a target of UTF-8",
    ],
)
async def test_no_byte_of_http2_is_said_to_it(relay, pieces):
    assert await said_to(relay.port, *pieces) == ANSWER


async def test_curl_shows_the_answer(relay):
    curl = program("curl", "Debian's curl")
    said = await output_of(curl, "--silent", "--show-error", "--include", f"http://{relay.target}/")
    assert said == ANSWER


@pytest.mark.parametrize(
    "said",
    [
        b"\r\n" * 5000,
        b"G" * 9000,
        b"GET /" + b"a" * 4000 + b"\x00" + b"a" * 5000,
        b"GET / HTTP/3.0\r\n",
        b"get / HTTP/1.1\r\n",
        b"GET \x00 HTTP/1.1\r\n",
        b"SSH-2.0-OpenSSH\r\n",
    ],
)
async def test_what_is_no_request_line_gets_a_goaway(relay, said):
    assert await said_to(relay.port, said) != ANSWER


async def test_a_request_that_is_not_gone_on_with_has_the_time_of_any_client():
    bounds = bounds_with(lifetime=lifetime_with(greeting_seconds=0.3))
    async with relaying(1, bounds=bounds) as relay:
        assert await said_to(relay.port, b"GET / HT") == b""


async def test_the_log_names_who_spoke_http1_and_who_broke_http2(relay):
    for log in (link.log, client_link.log):
        log._windows.clear()  # earlier tests may have used the entries of this minute
    with every_log_line() as lines:
        await said_to(relay.port, GET)
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        address = "{}:{}".format(*writer.get_extra_info("sockname"))
        writer.write(bytes(100))
        await asyncio.wait_for(reader.read(), TIMEOUT)
        writer.close()
    events = {line["event"]: line for line in lines}
    assert events["http1_request"]["peer"].startswith("127.0.0.1:")
    assert events["http2_fault"]["peer"] == address
