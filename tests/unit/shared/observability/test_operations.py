"""The operations port, over real sockets."""

import asyncio
import socket

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from vecguard.errors import ConfigurationError
from vecguard.observability import operations
from vecguard.observability.health import Check, HealthReport
from vecguard.observability.metrics import service_registry, vecguard_version
from vecguard.observability.operations import OperationsServer
from vecguard.observability.status_page import page
from vecguard.observability.status_page.page import HEADERS

DEADLINE = 10


class Condition:
    def __init__(self):
        self.etcd = True
        self.authorization = True

    def report(self):
        report = HealthReport()
        report.register(
            "etcd",
            lambda: Check(
                "etcd", self.etcd, critical=True, message="fine" if self.etcd else "unreachable"
            ),
        )
        report.register(
            "authorization",
            lambda: Check(
                "authorization",
                self.authorization,
                critical=False,
                message="on" if self.authorization else "off: every request passes",
            ),
        )
        return report


@pytest.fixture
def condition():
    return Condition()


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
async def server(condition, registry):
    async with OperationsServer("127.0.0.1", 0, condition.report(), registry) as server:
        yield server


@pytest.fixture
async def request_(server):
    timeout = aiohttp.ClientTimeout(total=DEADLINE)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}", timeout=timeout) as client:

        async def request(path, method="GET", **options):
            async with client.request(method, path, **options) as response:
                return response, await response.read()

        yield request


async def test_a_live_process_says_ok(request_):
    response, body = await request_("/livez")
    assert response.status == 200
    assert body == b"ok"


@pytest.mark.parametrize("path", ["/readyz", "/healthz"])
async def test_readiness_follows_the_critical_checks(request_, condition, path):
    response, _ = await request_(path)
    assert response.status == 200
    assert await response.json() == {
        "ready": True,
        "failures": [],
        "warnings": [],
        "checks": {
            "etcd": {"healthy": True, "critical": True, "message": "fine"},
            "authorization": {"healthy": True, "critical": False, "message": "on"},
        },
    }
    condition.etcd = False
    response, _ = await request_(path)
    assert response.status == 503
    report = await response.json()
    assert report["ready"] is False
    assert report["failures"] == ["etcd: unreachable"]


async def test_a_warning_is_shown_and_leaves_the_process_ready(request_, condition):
    condition.authorization = False
    response, _ = await request_("/readyz")
    assert response.status == 200
    report = await response.json()
    assert report["warnings"] == ["authorization: off: every request passes"]


async def test_excluded_checks_do_not_count_for_readiness_and_for_nothing_else(request_, condition):
    condition.etcd = False
    for query, status in (
        ("exclude=etcd", 200),
        ("exclude=authorization&exclude=etcd", 200),
        ("exclude=authorization", 503),
        ("exclude=", 503),
        ("exclude=no-such-check", 503),
    ):
        response, _ = await request_(f"/readyz?{query}")
        assert response.status == status, query
    response, _ = await request_("/readyz?exclude=etcd")
    assert list((await response.json())["checks"]) == ["authorization"]
    response, _ = await request_("/healthz?exclude=etcd")
    assert response.status == 503


async def test_an_unready_process_is_still_alive(request_, condition):
    condition.etcd = False
    response, _ = await request_("/livez")
    assert response.status == 200


async def test_metrics_are_those_of_the_given_registry(request_, registry):
    Counter("logins", "Logins.", registry=registry).inc(3)
    response, body = await request_("/metrics")
    assert response.status == 200
    assert response.content_type == "text/plain"
    assert b"logins_total 3.0" in body
    assert b"python_info" not in body


async def test_metrics_speak_openmetrics_when_asked(request_):
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    response, body = await request_("/metrics", headers=accept)
    assert response.content_type == "application/openmetrics-text"
    assert body.endswith(b"# EOF\n")


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/healthz", "/metrics"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_can_be_changed(request_, path, method):
    response, _ = await request_(path, method)
    assert response.status == 405


async def test_head_answers_without_a_body(request_):
    response, body = await request_("/readyz", "HEAD")
    assert response.status == 200
    assert body == b""


async def test_the_page_is_html_that_no_script_and_no_frame_can_use(request_, condition):
    condition.etcd = False
    response, body = await request_("/")
    assert response.status == 200, "the page is for people, and says itself what is wrong"
    assert response.content_type == "text/html"
    assert response.charset == "utf-8"
    for name, value in HEADERS.items():
        assert response.headers[name] == value
    assert "Server" not in response.headers
    assert "Server" not in (await request_("/nowhere"))[0].headers
    assert b"etcd" in body
    assert b"unreachable" in body
    assert b'http-equiv="refresh"' in body
    assert b'http-equiv="refresh"' not in (await request_("/?refresh=off"))[1]
    assert (await request_("/", "HEAD"))[1] == b""


async def test_a_crowd_of_readers_gets_one_page(condition, registry, monkeypatch):
    made = []

    def render(health, now, *, refreshes):
        made.append(refreshes)
        return b"a page"

    monkeypatch.setattr(page, "render", render)
    monkeypatch.setattr(operations, "_PAGE_SECONDS", 3600.0)
    async with (
        OperationsServer("127.0.0.1", 0, condition.report(), registry) as server,
        aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as client,
    ):

        async def read(path):
            async with client.get(path) as response:
                return await response.read()

        assert await asyncio.gather(*(read("/") for _ in range(20))) == [b"a page"] * 20
        assert await read("/?refresh=off") == b"a page"
        assert made == [True, False]
        monkeypatch.setattr(operations, "_PAGE_SECONDS", 0.0)
        await read("/")
        assert made == [True, False, True]


async def test_other_paths_do_not_exist(request_):
    response, _ = await request_("/index.html")
    assert response.status == 404


async def test_a_busy_port_names_the_address_and_the_setting(server, condition, registry):
    second = OperationsServer(
        "127.0.0.1", server.port, condition.report(), registry, key="proxy.operations"
    )
    expected = (
        f"cannot listen on 127.0.0.1:{server.port} (Address already in use); "
        "free it or set proxy.operations.ip and proxy.operations.port"
    )
    with pytest.raises(ConfigurationError) as caught:
        await second.__aenter__()
    assert caught.value.message == expected


async def test_an_address_of_another_machine_is_a_clear_error(condition, registry):
    server = OperationsServer("192.0.2.1", 0, condition.report(), registry, key="proxy.operations")
    with pytest.raises(ConfigurationError, match=r"192\.0\.2\.1:0 \(Cannot assign requested"):
        await server.__aenter__()


async def test_the_port_is_free_after_the_end_even_with_a_client_connected(condition, registry):
    async with OperationsServer("127.0.0.1", 0, condition.report(), registry) as server:
        port = server.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await asyncio.wait_for(reader.read(), DEADLINE) == b""
    writer.close()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


async def test_requests_leave_no_trace_in_the_log(request_, caplog):
    caplog.set_level("INFO")
    await request_("/livez")
    assert caplog.records == []


def test_a_service_registry_says_what_runs():
    registry = service_registry("proxy")
    (info,) = (each for each in registry.collect() if each.name == "vecguard_build_info")
    labels = info.samples[0].labels
    assert labels["service"] == "proxy"
    assert labels["version"] == vecguard_version()
    assert registry.get_sample_value("process_start_time_seconds") is not None
