"""grpc.health.v1 as its clients know it: load balancers, probes, grpcio."""

import grpc.aio
import pytest

from vecguard.addresses import Address
from vecguard.generated.grpc.health import v1 as pb
from vecguard.grpc.server import GrpcServer
from vecguard.listening import listening_sockets
from vecguard.observability.health import Check, HealthReport
from vecguard.proxy.health.service import HealthService

TIMEOUT = 10.0
STATUS = pb.HealthCheckResponseServingStatus


class Proxy:
    healthy = True

    def check(self) -> Check:
        return Check("logins", self.healthy, critical=True, message="")


@pytest.fixture
def proxy():
    return Proxy()


@pytest.fixture
async def channel(proxy):
    health = HealthReport()
    health.register("logins", proxy.check)
    server = GrpcServer([HealthService(health)])
    sockets = listening_sockets(Address("127.0.0.1", 0), settings="port", backlog=1)
    port = sockets[0].getsockname()[1]
    server.listen(sockets)
    async with grpc.aio.insecure_channel(str(Address("127.0.0.1", port))) as channel:
        yield channel
    await server.drain(0)


def parsed(answer: bytes) -> STATUS:
    return pb.HealthCheckResponse().parse(answer).status


async def test_the_whole_proxy_is_asked_by_the_empty_name(channel, proxy):
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    assert parsed(await check(b"", timeout=TIMEOUT)) == STATUS.SERVING
    proxy.healthy = False
    assert parsed(await check(b"", timeout=TIMEOUT)) == STATUS.NOT_SERVING
