"""The health check of containers, against a real operations port."""

import asyncio
import socket
import sys

import pytest
from prometheus_client import CollectorRegistry

from vecguard.observability.health import Check, HealthReport
from vecguard.observability.operations import OperationsServer
from vecguard.observability.probe import EXIT_HEALTHY, EXIT_UNHEALTHY, main, problem_of


def process(**checks):
    """A report in which each check is (healthy, critical)."""
    report = HealthReport()
    for name, (healthy, critical) in checks.items():
        check = Check(name, healthy, critical, message=f"{name} is {healthy}")
        report.register(name, lambda check=check: check)
    return report


async def ask(report, path="/readyz"):
    async with OperationsServer("127.0.0.1", 0, report, CollectorRegistry()) as server:
        return await asyncio.to_thread(
            problem_of, "127.0.0.1", server.port, path, timeout_seconds=10
        )


async def answer_with(answer):
    """What is said of a server that answers with these bytes."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        return await asyncio.to_thread(problem_of, "127.0.0.1", port, "/readyz", timeout_seconds=10)


async def test_ready_process_gives_no_complaint():
    assert await ask(process(logins=(True, True))) is None


async def test_process_that_is_not_ready_is_complained_about_with_its_own_words():
    assert await ask(process(logins=(False, True), etcd=(True, True))) == "logins: logins is False"


async def test_live_process_gives_no_complaint_though_it_is_not_ready():
    assert await ask(process(logins=(False, True)), path="/livez") is None


async def test_excluded_check_may_fail_and_hides_no_other_failure():
    assert await ask(process(role=(False, True)), "/readyz?exclude=role") is None
    report = process(role=(False, True), etcd=(False, True))
    assert await ask(report, "/readyz?exclude=role") == "etcd: etcd is False"


async def test_warning_is_no_complaint():
    assert await ask(process(authorization=(False, False))) is None


async def test_path_that_does_not_exist_is_complained_about():
    said = await ask(process(logins=(True, True)), path="/ready")
    assert said == "/ready answers 404: this is not an operations port"


@pytest.mark.parametrize(
    "body", [b"", b"overloaded", b"[]", b'{"failures": [1]}', b'{"failures": []}']
)
async def test_refusal_of_something_else_is_complained_about(body):
    said = await answer_with(b"HTTP/1.1 503 Busy\r\nConnection: close\r\n\r\n" + body)
    assert said == "/readyz answers 503 without a reason"


async def test_answer_in_another_protocol_is_complained_about():
    assert (await answer_with(b"SSH-2.0-x\r\n\r\n")).startswith("no answer from 127.0.0.1:")


def test_port_that_nobody_listens_on_is_complained_about():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        said = problem_of("127.0.0.1", free.getsockname()[1], "/livez", timeout_seconds=10)
    assert said is not None
    assert "Connection refused" in said


def test_silent_server_is_complained_about_after_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        said = problem_of("127.0.0.1", port, "/livez", timeout_seconds=0.05)
    assert said == f"no answer from 127.0.0.1:{port}: timed out"


async def test_command_ends_with_zero_when_the_process_is_in_order():
    async with OperationsServer(
        "127.0.0.1", 0, process(role=(False, True)), CollectorRegistry()
    ) as server:
        arguments = ["--port", str(server.port)]
        assert await asyncio.to_thread(main, arguments) == EXIT_UNHEALTHY
        arguments += ["--path", "/readyz?exclude=role"]
        assert await asyncio.to_thread(main, arguments) == EXIT_HEALTHY


async def test_command_says_on_standard_error_what_is_wrong():
    async with OperationsServer(
        "127.0.0.1", 0, process(logins=(False, True)), CollectorRegistry()
    ) as server:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "vecguard.observability.probe", "--port", str(server.port)),
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await child.communicate()
    assert (child.returncode, said) == (EXIT_UNHEALTHY, b"logins: logins is False\n")
