import asyncio
import socket
import ssl
from contextlib import AsyncExitStack

import pytest

from tests.integration.tls.endpoints import (
    DEADLINE_SECONDS,
    dial,
    dialler,
    listening,
    lone_client,
    refusal,
    server,
)
from tests.support.certificates import authority, client, issue, server_pems
from tests.support.waiting import until

LOOPS = [pytest.param(asyncio.new_event_loop, id="asyncio")]
try:
    import uvloop
except ImportError:
    pass
else:
    LOOPS.append(pytest.param(uvloop.new_event_loop, id="uvloop"))


async def certificate_rotation(tmp_path):
    ca = authority()
    pems = server_pems(tmp_path / "server", issue(ca, "old"))
    tls = server(pems)
    context = lone_client(tmp_path / "client", ca)
    async with listening(tls.context) as at, dial(at.port, context) as old:
        pems.put_identity(issue(ca, "new"))
        assert tls.check()
        async with dial(at.port, context) as new:
            assert (old.server, new.server) == ("old", "new")
            assert await old.echo()
            assert await new.echo()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_new_certificate_is_for_new_connections_and_old_ones_stay(tmp_path, loop):
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(certificate_rotation(tmp_path))


async def test_a_client_s_certificate_is_not_taken_up_by_a_server(tmp_path):
    ca = authority()
    pems = server_pems(tmp_path / "server", issue(ca, "old"))
    tls = server(pems)
    context = lone_client(tmp_path / "client", ca)
    async with listening(tls.context) as at:
        pems.put_identity(client(ca, "alice", names=("localhost", "127.0.0.1")))
        assert not tls.check()
        async with dial(at.port, context) as connection:
            assert connection.server == "old"
    assert tls.failures == 1


async def client_ca_rotation(tmp_path):
    first, second = authority("First"), authority("Second")
    pems = server_pems(tmp_path / "server", issue(first), first)
    tls = server(pems, mutual=True)
    by_first = lone_client(tmp_path / "a", first, client(first, "alice"))
    by_second = lone_client(tmp_path / "b", first, client(second, "bob"))
    async with listening(tls.context) as at, dial(at.port, by_first) as early:
        await refusal(at.port, by_second)
        pems.put_authorities(first, second)
        assert tls.check()
        async with dial(at.port, by_first), dial(at.port, by_second):
            pass
        pems.put_authorities(second)
        assert tls.check()
        await refusal(at.port, by_first)
        async with dial(at.port, by_second) as late:
            assert await late.echo()
        assert await early.echo()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_ca_that_is_taken_away_admits_nobody_new_and_ends_nobody(tmp_path, loop):
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(client_ca_rotation(tmp_path))


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_follows_the_servers_ca_there_and_back(tmp_path, loop):
    async def scenario():
        first, second = authority("First"), authority("Second")
        server_files = server_pems(tmp_path / "server", issue(first, "by first"))
        tls = server(server_files)
        us = dialler(tmp_path / "client", first)
        async with listening(tls.context) as at, dial(at.port, us.context) as early:
            server_files.put_identity(issue(second, "by second"))
            assert tls.check()
            await refusal(at.port, us.context)

            (tmp_path / "client" / "ca.pem").write_bytes(second.issued.certificate)
            assert us.check()
            async with dial(at.port, us.context) as connection:
                assert connection.server == "by second"

            server_files.put_identity(issue(first, "by first"))
            assert tls.check()
            await refusal(at.port, us.context)
            (tmp_path / "client" / "ca.pem").write_bytes(first.issued.certificate)
            assert us.check()
            async with dial(at.port, us.context) as connection:
                assert connection.server == "by first"
            assert await early.echo()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())


async def test_a_client_shows_its_new_certificate_on_its_next_connection(tmp_path):
    ca = authority()
    tls = server(server_pems(tmp_path / "server", issue(ca), ca), mutual=True)
    us = dialler(tmp_path / "client", ca, identity=client(ca, "first"))
    async with listening(tls.context) as at:
        async with dial(at.port, us.context):
            pass
        server_pems(tmp_path / "client", client(ca, "second"))
        assert us.check()
        async with dial(at.port, us.context):
            pass
        names = [dict(rdn[0] for rdn in peer["subject"])["commonName"] for peer in at.peers]
    assert names == ["first", "second"]


async def test_a_half_written_set_changes_nothing_for_anybody(tmp_path):
    ca = authority()
    pems = server_pems(tmp_path / "server", issue(ca, "old"), ca)
    tls = server(pems, mutual=True)
    context = lone_client(tmp_path / "client", ca, client(ca))
    renewed = issue(ca, "new")
    async with listening(tls.context) as at, AsyncExitStack() as stack:
        for half in (renewed.certificate[:200], renewed.certificate, b""):
            pems.put("own.pem", half)
            assert not tls.check()
            connection = await stack.enter_async_context(dial(at.port, context))
            assert connection.server == "old"
        assert tls.failures == 3
        pems.put_identity(renewed)
        assert tls.check()
        connection = await stack.enter_async_context(dial(at.port, context))
        assert connection.server == "new"


async def test_no_connection_fails_while_certificates_rotate_under_load(tmp_path):
    ca = authority()
    pems = server_pems(tmp_path / "server", issue(ca, "0"), ca)
    tls = server(pems, mutual=True, interval_seconds=0.01)
    context = lone_client(tmp_path / "client", ca, client(ca))
    seen = []

    async def visit(port, until_reloads):
        while tls.reloads < until_reloads:
            async with dial(port, context) as connection:
                seen.append(connection.server)
                assert await connection.echo()

    async with listening(tls.context) as at, dial(at.port, context) as lasting:
        watcher = asyncio.create_task(tls.run())
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(visit(at.port, 5))
            for number in range(1, 6):
                pems.put_identity(issue(ca, str(number)))
                await until(lambda: tls.reloads == number)  # noqa: B023 - awaited in its round
                assert await lasting.echo()
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
        async with dial(at.port, context) as last:
            assert last.server == "5"
    assert len(set(seen)) > 2


def resume(port, context, session):
    """One blocking visit; the session that it leaves behind, and whether it resumed one."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname="localhost", session=session) as tls,
    ):
        assert tls.recv(64)
        return tls.session, tls.session_reused


async def test_a_session_ends_with_the_certificates_that_granted_it(tmp_path):
    ca = authority()
    pems = server_pems(tmp_path / "server", issue(ca))
    tls = server(pems)
    context = lone_client(tmp_path / "client", ca)
    async with listening(tls.context) as at:
        session, _ = await asyncio.to_thread(resume, at.port, context, None)
        session, resumed = await asyncio.to_thread(resume, at.port, context, session)
        assert resumed
        pems.put_identity(issue(ca))
        assert tls.check()
        _, resumed = await asyncio.to_thread(resume, at.port, context, session)
        assert not resumed


async def test_a_mutual_session_is_never_resumed(tmp_path):
    ca = authority()
    tls = server(server_pems(tmp_path / "server", issue(ca), ca), mutual=True)
    context = lone_client(tmp_path / "client", ca, client(ca))
    async with listening(tls.context) as at:
        session, _ = await asyncio.to_thread(resume, at.port, context, None)
        assert session is None or not session.has_ticket
        _, resumed = await asyncio.to_thread(resume, at.port, context, session)
        assert not resumed


def test_the_context_is_an_ssl_context_for_whoever_asks(tmp_path):
    tls = server(server_pems(tmp_path, issue(authority())))
    assert isinstance(tls.context, ssl.SSLContext)
