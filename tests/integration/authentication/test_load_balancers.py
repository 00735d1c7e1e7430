"""Clients behind real load balancers keep their own addresses: in limits and in the audit log."""

import asyncio
import json
from contextlib import asynccontextmanager
from functools import partial

import grpc
import grpc.aio

from tests.integration.authentication.deployment import HEALTH, authorization, running_deployment
from tests.support.credentials import encoded
from tests.support.load_balancers import envoy, haproxy, nginx
from tests.support.programs import is_installed
from tests.support.raw_http2 import Peer, message, request_headers
from vecguard.generated.milvus.proto import milvus as pb

ROOT = authorization("root", "Milvus")
GOOD, LIMITED = grpc.StatusCode.OK.value[0], grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
#: What the balancers connect from.
OF_CONNECTIONS, OF_CALLS = "127.0.0.4", "127.0.0.5"
SETTINGS = {
    "proxy": {
        "proxyProtocol": {"trusted": [OF_CONNECTIONS]},
        "forwardedFor": {"trusted": [OF_CALLS]},
    },
    "authentication": {"loginLimits": {"delay": 0.05}},
}
BALANCERS = {
    "haproxy v2": (haproxy, {"sends": "send-proxy-v2"}),
    "haproxy v2 with checksum": (haproxy, {"sends": "send-proxy-v2 proxy-v2-options crc32c"}),
    "haproxy v1": (haproxy, {"sends": "send-proxy"}),
    "nginx stream": (nginx, {"first_line": "# nginx.conf for connections"}),
    "nginx grpc_pass": (nginx, {"first_line": "# nginx.conf for calls"}),
}
if is_installed("envoy"):
    BALANCERS |= {
        "envoy tcp_proxy": (envoy, {"is_http": False}),
        "envoy HTTP": (envoy, {"is_http": True}),
    }
BALANCERS_OF_CALLS = "nginx grpc_pass", "envoy HTTP"


@asynccontextmanager
async def client_from(source, port):
    """A connection to the balancer from this address of 127.0.0.0/8."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    peer = Peer(reader, writer, client_side=True)
    try:
        yield partial(status_of, peer)
    finally:
        await peer.close()


async def status_of(peer, login, *fields):
    """Makes a call with this login, and returns its gRPC status."""
    headers = request_headers(HEALTH.encode(), (b"authorization", login), *fields)
    begun, _, ended = await peer.response(peer.request(headers, message(b"")))
    return int(dict(begun + ended)[b"grpc-status"])


async def guess_until_limited(ask, username):
    """Guesses, and says each time that the call comes from elsewhere. Returns the guesses."""
    for number in range(50):
        forged = (b"x-forwarded-for", b"10.9.9.%d" % number)
        if await ask(authorization(username, f"guess{number}"), forged) == LIMITED:
            return number
    raise AssertionError("no guess was limited")


def balancer(name, deployment):
    run, options = BALANCERS[name]
    proxy = deployment.stack.proxies[0]
    if run is haproxy:
        options = options | {"operations": proxy.operations_address}
    source = OF_CALLS if name in BALANCERS_OF_CALLS else OF_CONNECTIONS
    return run(deployment.folder, proxy.address, source=source, **options)


async def audited(deployment, username):
    """Returns the addresses of the refused logins of a user, and the reasons."""
    entries = [json.loads(line) for line in deployment.audit_file.read_text().splitlines()]
    return {
        (entry["address"], entry["reason"])
        for entry in entries
        if entry["event"] == "login_refused" and entry["user"] == username
    }


async def test_a_guesser_behind_a_balancer_limits_nobody_else_there(tmp_path):
    """All balancers in turn, in front of one proxy, each with a user of its own."""
    async with running_deployment(tmp_path, SETTINGS) as deployment:
        async with deployment.client() as direct:
            for number in range(len(BALANCERS) + 1):
                create = pb.CreateCredentialRequest(
                    username=f"user{number}", password=encoded("secret1")
                )
                assert (await direct.account("CreateCredential", create, ROOT)).code == 0
        for number, name in enumerate(BALANCERS):
            user, right = f"user{number}", authorization(f"user{number}", "secret1")
            async with balancer(name, deployment) as port:
                guesser, honest = f"127.0.1.{number + 1}", f"127.0.2.{number + 1}"
                async with client_from(guesser, port) as ask:
                    assert await guess_until_limited(ask, user) >= 20, name
                async with client_from(honest, port) as ask:
                    assert await ask(right) == GOOD, name
                async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                    check = channel.unary_unary(HEALTH)
                    await check(b"", metadata=(("authorization", right),), timeout=20)
        # Without a balancer the header means nothing.
        user = f"user{len(BALANCERS)}"
        async with deployment.peer_from("127.0.3.1") as peer:
            await guess_until_limited(partial(status_of, peer), user)
        async with deployment.peer_from("127.0.3.2") as peer:
            assert await status_of(peer, authorization(user, "secret1")) == GOOD
        metrics = await deployment.page("/metrics")
        for reason in ("missing", "malformed", "late", "untrusted"):
            line = f'vecguard_relay_proxy_headers_refused_total{{reason="{reason}"}} 0.0'
            assert line in metrics
        await deployment.stack.proxies[0].stop()
        for number, name in enumerate([*BALANCERS, "none"]):
            address = "127.0.3.1" if name == "none" else f"127.0.1.{number + 1}"
            reasons = {"wrong_credentials", "login_limited"}
            found = await audited(deployment, f"user{number}")
            assert found == {(address, reason) for reason in reasons}, name
        assert not [line for _, line in deployment.lines if "proxy_header_refused" in line]
