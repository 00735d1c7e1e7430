"""The operations port of a proxy with several workers: asks each, answers for all.

Each worker has an operations port of its own on loopback, the very one that a single
process has in public. prometheus_client's multiprocess mode would spare the asking, but it
needs a writable directory, keeps the figures of the dead, and leaves out the collectors that
are no plain counters (certificates, memory).
"""

import asyncio
from collections.abc import Mapping, Sequence
from enum import Enum
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

import aiohttp
from prometheus_client import CollectorRegistry, Gauge

from vecguard.observability.health import Health
from vecguard.observability.health_json import read_health
from vecguard.observability.log import get_logger
from vecguard.observability.metrics import service_registry
from vecguard.proxy.workers.health import joined
from vecguard.proxy.workers.metrics import WORKER_LABEL, Families

_log = get_logger(__name__)

#: Where the workers' own ports are.
LOOPBACK: Final = "127.0.0.1"
#: Kubernetes gives a probe one second unless told otherwise: the answer says who is silent.
_PROBE_SECONDS: Final = 0.8
#: Prometheus waits for ten.
_METRICS_SECONDS: Final = 5.0
_METRICS_FORMAT: Final = {"Accept": "text/plain; version=0.0.4"}


class Silence(Enum):
    """Why a worker said nothing; the value is for people."""

    GONE = "not running; it is being replaced"
    HANGS = "no answer in time"
    GIBBERISH = "an answer that cannot be read"


class WorkersReport:
    """Health and metrics of all workers. An asynchronous context manager.

    Args:
        ports: of the workers' own operations ports, the first worker's first.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports: Mapping[int, int] = dict(enumerate(ports, start=1))
        self._own = service_registry("proxy")
        self._up = Gauge(
            "vecguard_worker_up", "Whether a worker answers.", (WORKER_LABEL,), registry=None
        )
        self._client: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # A kept connection would tell that a worker hangs which was replaced long since.
        self._client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._client is not None:
            await self._client.close()

    async def assess(self) -> Health:
        """What all workers say together; not ready unless each of them is."""
        answers = await self._ask_all("/healthz", _PROBE_SECONDS)
        return joined({number: _health(answer) for number, answer in answers.items()})

    async def is_alive(self) -> bool:
        """Whether no worker hangs. One that is gone will be replaced: that is no reason."""
        answers = await self._ask_all("/livez", _PROBE_SECONDS)
        return Silence.HANGS not in answers.values()

    async def gather(self) -> CollectorRegistry:
        """The metrics of all workers that answer, and of this process."""
        answers = await self._ask_all("/metrics", _METRICS_SECONDS)
        families = Families()
        families.add("operations", self._own.collect())
        for number, answer in answers.items():
            self._up.labels(str(number)).set(_added(families, number, answer))
        registry = families.registry()
        registry.register(self._up)
        return registry

    async def _ask_all(self, path: str, seconds: float) -> dict[int, str | Silence]:
        async with asyncio.TaskGroup() as group:
            questions = {
                number: group.create_task(self._ask(port, path, seconds))
                for number, port in self._ports.items()
            }
        return {number: question.result() for number, question in questions.items()}

    async def _ask(self, port: int, path: str, seconds: float) -> str | Silence:
        if self._client is None:
            raise RuntimeError("the context is not open")
        try:
            async with self._client.get(
                f"http://{LOOPBACK}:{port}{path}",
                headers=_METRICS_FORMAT,
                timeout=aiohttp.ClientTimeout(total=seconds),
            ) as answer:
                # 503 comes with a report.
                known = answer.status in (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE)
                return await answer.text() if known else Silence.GIBBERISH
        except TimeoutError:
            return Silence.HANGS
        except aiohttp.ClientError:
            return Silence.GONE


def _added(families: Families, number: int, answer: str | Silence) -> bool:
    """Whether there was something to add."""
    if isinstance(answer, Silence):
        return False
    try:
        families.add_text(str(number), answer)
    except ValueError:
        _log.exception("a worker's metrics cannot be read", number=number)
        return False
    return True


def _health(answer: str | Silence) -> Health | str:
    if isinstance(answer, Silence):
        return answer.value
    try:
        return read_health(answer)
    except ValueError:
        _log.error("a worker's report of its health cannot be read")
        return Silence.GIBBERISH.value
