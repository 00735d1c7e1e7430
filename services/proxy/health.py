"""The standard health service, and what a proxy says about its condition."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from grpclib.const import Status

from services.proxy.authentication.origin import LOCAL
from services.proxy.watchers import Watchers, too_many_watchers
from shared.errors import VecguardError
from shared.generated.grpc.health import v1 as pb
from shared.observability.health import HealthReport

_WATCH_INTERVAL_SECONDS = 1.0
# Of the 4000 calls that the connections to our own services take.
_MAX_WATCHERS = 1000


class UnknownServiceError(VecguardError):
    """Only the proxy as a whole has a health. The standard's answer to a check, not to a watch."""

    status = Status.NOT_FOUND
    reason = "unknown_service"


class HealthService(pb.HealthBase):
    """grpc.health.v1 for the proxy as a whole (the empty service name)."""

    def __init__(
        self,
        report: HealthReport,
        *,
        is_draining: Callable[[], bool] = lambda: False,
        origin: Callable[[], str] = lambda: LOCAL,
        max_watchers: int = _MAX_WATCHERS,
    ) -> None:
        """Watchers are let go while it drains: they would keep it waiting to the last second.

        `origin` says where the call that is being handled comes from.
        """
        self._report = report
        self._is_draining = is_draining
        self._origin = origin
        self._watchers = Watchers(max_watchers)

    async def check(self, health_check_request: pb.HealthCheckRequest) -> pb.HealthCheckResponse:
        if health_check_request.service:
            raise UnknownServiceError(
                "health is that of the whole proxy: ask with an empty service name"
            )
        return pb.HealthCheckResponse(status=self._status(""))

    async def watch(
        self, health_check_request: pb.HealthCheckRequest
    ) -> AsyncIterator[pb.HealthCheckResponse]:
        with self._watchers.place(self._origin()) as displaced:
            previous = None
            while not displaced.is_set():
                status = self._status(health_check_request.service)
                if status != previous:
                    yield pb.HealthCheckResponse(status=status)
                    previous = status
                if self._is_draining():
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(_WATCH_INTERVAL_SECONDS):
                        await displaced.wait()
        raise too_many_watchers()

    def _status(self, service: str) -> pb.HealthCheckResponseServingStatus:
        status = pb.HealthCheckResponseServingStatus
        if service:
            return status(status.SERVICE_UNKNOWN)
        return status(status.SERVING if self._report.evaluate().ready else status.NOT_SERVING)
