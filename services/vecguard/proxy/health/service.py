"""Serves grpc.health.v1 for the proxy as a whole."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

from vecguard.addresses import LOCAL
from vecguard.errors import VecguardError
from vecguard.generated.grpc.health import v1 as pb
from vecguard.grpc.codec import RequestCodec
from vecguard.grpc.compression import plain
from vecguard.observability.health import HealthReport
from vecguard.proxy.health.watch_limit import WatchLimit, too_many_watchers

_WATCH_INTERVAL_SECONDS = 1.0
# Well below the 4000 calls that one caller may have open on the connections to this service.
_MAX_WATCHERS = 1000
#: A request's longest message, which is the name of a service.
MAX_REQUEST_BYTES = 1024
_PREFIX_BYTES = 5
_codec = RequestCodec()


class HealthService(pb.HealthBase):
    """Answers Check and Watch for the empty service name, which means the whole proxy.

    The relay sends requests that name a service to the backend: see `names_a_service`.
    """

    def __init__(
        self,
        report: HealthReport,
        *,
        is_draining: Callable[[], bool] = lambda: False,
        origin: Callable[[], str] = lambda: LOCAL,
    ) -> None:
        """Takes the report to answer from.

        Args:
            report: the checks; the proxy is SERVING while the report is ready.
            is_draining: whether the proxy is stopping. Watches end then, because the proxy would
                wait for them until its drain timeout.
            origin: returns the origin of the call that is being handled.
        """
        self._report = report
        self._is_draining = is_draining
        self._origin = origin
        self._watch_limit = WatchLimit(_MAX_WATCHERS)

    async def check(self, health_check_request: pb.HealthCheckRequest) -> pb.HealthCheckResponse:
        del health_check_request
        return pb.HealthCheckResponse(status=self._status())

    async def watch(
        self, health_check_request: pb.HealthCheckRequest
    ) -> AsyncIterator[pb.HealthCheckResponse]:
        del health_check_request
        with self._watch_limit.place(self._origin()) as displaced:
            previous = None
            while not displaced.is_set():
                status = self._status()
                if status != previous:
                    yield pb.HealthCheckResponse(status=status)
                    previous = status
                if self._is_draining():
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(_WATCH_INTERVAL_SECONDS):
                        await displaced.wait()
        raise too_many_watchers()

    def _status(self) -> pb.HealthCheckResponseServingStatus:
        status = pb.HealthCheckResponseServingStatus
        return status(status.SERVING if self._report.evaluate().ready else status.NOT_SERVING)


def names_a_service(request: bytes, encodings: Sequence[bytes]) -> bool:
    """Returns whether a request names a service, so that the backend must answer it.

    Args:
        request: a HealthCheckRequest as on the wire, with its prefix.
        encodings: the values of `grpc-encoding`.

    Returns:
        False also for a request that cannot be read: the health service answers it with an error.
    """
    if len(request) < _PREFIX_BYTES:
        return False
    length = int.from_bytes(request[1:_PREFIX_BYTES])
    encoding = encodings[-1].decode("latin-1") if encodings else None
    try:
        data = plain(request[0], request[_PREFIX_BYTES:][:length], encoding, MAX_REQUEST_BYTES)
        message: pb.HealthCheckRequest = _codec.decode(data, pb.HealthCheckRequest)
    except VecguardError:
        return False
    return message.service != ""
