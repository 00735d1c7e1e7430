"""Whether a proxy tells the truth about being ready."""

import asyncio

import grpc
import grpc.aio

from tests.support.metrics import ask, health
from tests.support.waiting import eventually
from vecguard.generated.grpc.health.v1 import (
    HealthCheckResponse,
)
from vecguard.generated.grpc.health.v1 import (
    HealthCheckResponseServingStatus as Status,
)

SHORT = {
    "lease": {"ttl": 3.0, "renewInterval": 0.5, "grace": 0.2},
    "election": {"ttl": 2.0},
}
WATCH = "/grpc.health.v1.Health/Watch"


async def failures(deployment):
    _, report = await health(deployment.operations)
    return [line.partition(":")[0] for line in report["failures"]]


async def test_a_strict_proxy_without_a_lease_is_alive_and_not_ready(start_deployment):
    async with start_deployment(**SHORT) as deployment:
        assert await deployment.code() == "OK"
        assert await failures(deployment) == []
        deployment.stack.root_coord.kill()

        async def is_unready():
            return await failures(deployment) == ["logins"]

        await eventually(is_unready)
        assert (await health(deployment.operations))[0] == 503
        assert (await ask(deployment.operations, "/livez"))[0] == 200
        metrics = await deployment.metrics()
        assert metrics.value("vecguard_proxy_lease_remaining_seconds") == 0
        assert metrics.value("vecguard_proxy_session_connected") == 0
        assert await deployment.code() == "UNAVAILABLE"
        labels = {"result": "unavailable", "reason": "unavailable"}
        assert (await deployment.metrics()).value("vecguard_logins_total", **labels) == 1

        await deployment.stack.root_coord.restart()

        async def is_ready():
            return await failures(deployment) == []

        await eventually(is_ready)
        assert (await deployment.metrics()).value("vecguard_proxy_sessions_opened_total") == 2


async def test_a_bounded_proxy_without_a_lease_stays_ready(start_deployment):
    async with start_deployment(**SHORT, revocation="bounded") as deployment:
        assert await deployment.code() == "OK"
        deployment.stack.root_coord.kill()

        async def has_no_lease():
            return (await deployment.metrics()).value("vecguard_proxy_lease_remaining_seconds") == 0

        await eventually(has_no_lease)
        status, report = await health(deployment.operations)
        assert status == 200
        assert not report["checks"]["root_coord"]["healthy"]
        assert await deployment.code() == "OK"
        assert await deployment.code(login=("never-seen", "whatever")) == "UNAVAILABLE"
        labels = {"method": "GetCredential", "outcome": "unavailable"}
        metrics = await deployment.metrics()
        assert metrics.value("vecguard_proxy_root_coord_calls_total", **labels) == 1


async def test_without_authorization_root_coord_is_not_needed(start_deployment):
    async with start_deployment(
        **SHORT, common={"security": {"authorizationEnabled": False}}
    ) as deployment:
        deployment.stack.root_coord.kill()

        async def has_no_lease():
            return (await deployment.metrics()).value("vecguard_proxy_lease_remaining_seconds") == 0

        await eventually(has_no_lease)
        assert (await health(deployment.operations))[0] == 200
        assert await deployment.code(login=None) == "OK"
        assert (await deployment.metrics()).value("vecguard_authorization_enabled") == 0


async def test_a_proxy_that_drains_is_alive_and_not_ready(start_deployment):
    async with start_deployment() as deployment:
        watch = deployment.started(WATCH)
        assert HealthCheckResponse().parse(await watch.read()).status == Status.SERVING
        call = deployment.started("/test.Echo/Open", b"x")
        assert await call.read() == b"x"

        stopping = asyncio.create_task(deployment.stack.proxies[0].stop())
        answer = HealthCheckResponse().parse(await watch.read())
        assert answer.status == Status.NOT_SERVING
        assert await watch.read() is grpc.aio.EOF
        assert await failures(deployment) == ["accepting"]
        assert (await ask(deployment.operations, "/livez"))[0] == 200
        assert not call.done()
        call.cancel()
        await stopping


async def test_a_lost_backend_is_a_warning_and_a_number(start_deployment):
    async with start_deployment() as deployment:
        assert await deployment.code() == "OK"
        await deployment.backend.stop()

        async def is_unreachable():
            await deployment.code()
            return (await deployment.metrics()).value("vecguard_backend_reachable") == 0

        await eventually(is_unreachable)
        status, report = await health(deployment.operations)
        assert status == 200
        assert not report["checks"]["backend"]["healthy"]
        assert (await deployment.metrics()).value(
            "vecguard_backend_connects_total", outcome="failed"
        ) > 0
        assert await deployment.code() == grpc.StatusCode.UNAVAILABLE.name
        await deployment.backend.start(deployment.backend.port)

        async def is_back():
            return (await deployment.metrics()).value("vecguard_backend_reachable") == 1

        await eventually(is_back)
        assert await deployment.code() == "OK"
