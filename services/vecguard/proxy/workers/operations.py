"""The operations port of a proxy with several workers: queries each, and merges the answers.

Each worker has its own operations port on loopback, like the public one of a single process.
prometheus_client's multiprocess mode would need no queries, but it needs a writable directory,
keeps the metrics of ended processes, and omits collectors that are not plain counters
(certificates, memory).
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

#: The address of the workers' own ports.
LOOPBACK: Final = "127.0.0.1"
#: Below the one second that a Kubernetes probe has by default, to name the worker that hangs.
_PROBE_SECONDS: Final = 0.8
#: Prometheus waits for ten seconds.
_METRICS_SECONDS: Final = 5.0
_METRICS_FORMAT: Final = {"Accept": "text/plain; version=0.0.4"}


class NoAnswer(Enum):
    """Why a worker gave no answer; the value is the text for users."""

    GONE = "not running; it is being replaced"
    HANGS = "no answer in time"
    GIBBERISH = "an invalid answer"


class WorkersReport:
    """Reports the health and metrics of all workers. An asynchronous context manager.

    Args:
        ports: the workers' own operations ports, the first worker's first.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports: Mapping[int, int] = dict(enumerate(ports, start=1))
        self._own = service_registry("proxy")
        self._up = Gauge(
            "vecguard_worker_up", "1 if the worker answers, else 0.", (WORKER_LABEL,), registry=None
        )
        self._client: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # On a kept connection, a worker that was replaced would seem to hang.
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

    async def assess(self, *, detailed: bool = False) -> Health:
        """Returns the merged health; ready only if all workers are."""
        answers = await self._ask_all("/healthz" if detailed else "/readyz", _PROBE_SECONDS)
        return joined({number: _health(answer) for number, answer in answers.items()})

    async def is_alive(self) -> bool:
        """Returns whether no worker hangs. A worker that is gone does not count: it is replaced."""
        answers = await self._ask_all("/livez", _PROBE_SECONDS)
        return NoAnswer.HANGS not in answers.values()

    async def gather(self) -> CollectorRegistry:
        """Returns the metrics of all workers that answer, and of this process."""
        answers = await self._ask_all("/metrics", _METRICS_SECONDS)
        families = Families()
        families.add("operations", self._own.collect())
        for number, answer in answers.items():
            self._up.labels(str(number)).set(_added(families, number, answer))
        registry = families.registry()
        registry.register(self._up)
        return registry

    async def _ask_all(self, path: str, seconds: float) -> dict[int, str | NoAnswer]:
        async with asyncio.TaskGroup() as group:
            questions = {
                number: group.create_task(self._ask(port, path, seconds))
                for number, port in self._ports.items()
            }
        return {number: question.result() for number, question in questions.items()}

    async def _ask(self, port: int, path: str, seconds: float) -> str | NoAnswer:
        if self._client is None:
            raise RuntimeError("the context is not open")
        try:
            async with self._client.get(
                f"http://{LOOPBACK}:{port}{path}",
                headers=_METRICS_FORMAT,
                timeout=aiohttp.ClientTimeout(total=seconds),
            ) as answer:
                # 503 has a report as well.
                known = answer.status in (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE)
                return await answer.text() if known else NoAnswer.GIBBERISH
        except TimeoutError:
            return NoAnswer.HANGS
        except aiohttp.ClientError:
            return NoAnswer.GONE


def _added(families: Families, number: int, answer: str | NoAnswer) -> bool:
    """Adds a worker's metrics. Returns whether there were valid ones."""
    if isinstance(answer, NoAnswer):
        return False
    try:
        families.add_text(str(number), answer)
    except ValueError:
        _log.exception("a worker's metrics cannot be read", number=number)
        return False
    return True


def _health(answer: str | NoAnswer) -> Health | str:
    if isinstance(answer, NoAnswer):
        return answer.value
    try:
        return read_health(answer)
    except ValueError:
        _log.error("a worker's report of its health cannot be read")
        return NoAnswer.GIBBERISH.value
