"""Starts one proxy process, or several that share the port."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

import structlog

from vecguard.boot_clock import boot_clock
from vecguard.config import Settings
from vecguard.config.exposure import proxy_exposure
from vecguard.lifecycle import EXIT_CLEAN, ShutdownSignal, exit_code, serve
from vecguard.observability.log import get_logger
from vecguard.observability.operations import OperationsServer
from vecguard.proxy.app import run
from vecguard.proxy.cpus import usable_cpus
from vecguard.proxy.descriptors import provide
from vecguard.proxy.workers.child import ParentPipes
from vecguard.proxy.workers.operations import LOOPBACK, WorkersReport
from vecguard.proxy.workers.reservation import reserved_port
from vecguard.proxy.workers.supervisor import Role, Supervisor

#: In addition to the drain: for clients that do not read their last bytes, and a busy machine.
_STOP_GRACE_SECONDS: Final = 10.0

_log = get_logger(__name__)

_ChildMain = Callable[[ParentPipes, Settings, ShutdownSignal], Awaitable[None]]


def start(settings: Settings) -> None:
    """Serves until the process is stopped; a single worker runs without a supervisor.

    Raises:
        ConfigurationError: a port or another setting cannot be used.
        Exception: the service has failed.
    """
    if (exposure := proxy_exposure(settings)) is not None:
        _log.warning(str(exposure), ip=settings.proxy.ip)
    workers = settings.proxy.workers or usable_cpus()
    settings = _with_proxy(settings, connections=provide(settings.proxy.connections))
    if workers == 1:
        serve(run, _with_proxy(settings, workers=1))
        return
    proxy = settings.proxy
    with ExitStack() as held:
        # All ports are known before the first fork, and stay the same when a child is replaced.
        public = held.enter_context(
            reserved_port(proxy.ip, proxy.port, settings="proxy.ip and proxy.port")
        )
        operations = held.enter_context(
            reserved_port(
                proxy.operations.ip,
                proxy.operations.port,
                settings="proxy.operations.ip and proxy.operations.port",
            )
        )
        private = [
            held.enter_context(reserved_port(LOOPBACK, 0, settings="proxy.workers"))
            for _ in range(workers)
        ]
        settings = _with_proxy(settings, workers=workers, port=public)
        Supervisor(
            [
                _operations_role(
                    _with_operations(settings, proxy.operations.ip, operations), private
                ),
                *(
                    _worker_role(number, _with_operations(settings, LOOPBACK, port))
                    for number, port in enumerate(private, start=1)
                ),
            ],
            clock=boot_clock,
            stop_seconds=proxy.drain_timeout + _STOP_GRACE_SECONDS,
        ).run()


def _worker_role(number: int, settings: Settings) -> Role:
    async def work(pipes: ParentPipes, settings: Settings, shutdown: ShutdownSignal) -> None:
        await run(settings, shutdown, pipes.serving)

    # The first one proves that the configuration can be used, so that an error is logged once.
    return Role(f"worker {number}", _body(work, settings, str(number)), goes_first=number == 1)


def _operations_role(settings: Settings, private: Sequence[int]) -> Role:
    async def operate(pipes: ParentPipes, settings: Settings, shutdown: ShutdownSignal) -> None:
        at = settings.proxy.operations
        async with (
            WorkersReport(private) as report,
            OperationsServer(
                at.ip, at.port, report, report, key="proxy.operations", shares_port=True
            ),
        ):
            pipes.serving()
            await shutdown.wait()

    body = _body(operate, settings, "operations")
    return Role("the operations port", body, goes_first=True, outlasts=True)


def _body(main: _ChildMain, settings: Settings, worker: str) -> Callable[[ParentPipes], int]:
    """Returns the function that a child runs from the fork to its exit code."""

    def body(pipes: ParentPipes) -> int:
        structlog.contextvars.bind_contextvars(worker=worker)

        async def stopped_with_parent(settings: Settings, shutdown: ShutdownSignal) -> None:
            with _stopped_by(pipes, shutdown):
                await main(pipes, settings, shutdown)

        try:
            serve(stopped_with_parent, settings, stop_signals=(signal.SIGTERM,))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # the last stop before the exit code
            return exit_code(error)
        return EXIT_CLEAN

    return body


@contextmanager
def _stopped_by(pipes: ParentPipes, shutdown: ShutdownSignal) -> Iterator[None]:
    """Sets the shutdown signal when the supervisor stops the child or is gone."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        # It stays readable from now on.
        loop.remove_reader(pipes.stop)
        _log.info("stopping with the supervisor")
        shutdown.set()

    loop.add_reader(pipes.stop, stop)
    try:
        yield
    finally:
        loop.remove_reader(pipes.stop)


def _with_proxy(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"proxy": settings.proxy.model_copy(update=changes)})


def _with_operations(settings: Settings, ip: str, port: int) -> Settings:
    operations = settings.proxy.operations.model_copy(update={"ip": ip, "port": port})
    proxy = settings.proxy.model_copy(update={"operations": operations})
    return settings.model_copy(update={"proxy": proxy})
