"""Starts, runs and ends a service process.

Exit codes: 0 a clean stop, 1 an expected failure, 2 a configuration that cannot be used,
70 a bug, 128+n the second signal n while stopping.
"""

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final, Self

from vecguard.config import Settings, load_settings, render
from vecguard.errors import ConfigurationError, VecguardError
from vecguard.observability.log import configure_logging, get_logger
from vecguard.observability.metrics import vecguard_version
from vecguard.standard_streams import prepare_streams, take_output_failure

CONFIG_VARIABLE: Final = "VECGUARD_CONFIG"

EXIT_CLEAN: Final = 0
EXIT_FAILED: Final = 1
EXIT_CONFIGURATION: Final = 2
EXIT_BUG: Final = 70  # EX_SOFTWARE of sysexits.h

#: How long the loop's threads may run after the service has ended; no result is needed any
#: more. A name look-up may take half a minute when the name server does not answer.
_THREADS_SECONDS: Final = 2.0

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

#: The log entry of a SIGHUP, which neither ends nor reloads the service.
HANGUP_CHANGES_NOTHING: Final = (
    "SIGHUP changes nothing: changed certificates and a rotated audit file are noticed without it, "
    "settings need a restart"
)

# Calls leave few reference cycles. With Python's own thresholds the collector examines all
# objects several times in each second, and every answer waits meanwhile.
_GARBAGE_THRESHOLDS: Final = (10_000, 20, 20)

_log = get_logger(__name__)


class ShutdownSignal:
    """Is set once, when the process is asked to stop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def is_set(self) -> bool:
        """Whether the process was asked to stop."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Returns when the process is asked to stop; at once if it was already."""
        await self._event.wait()

    def set(self) -> None:
        """Asks the process to stop."""
        self._event.set()


Main = Callable[[Settings, ShutdownSignal], Awaitable[None]]


def settle_memory() -> None:
    """Excludes all present objects from garbage collection, and makes it run less often.

    Call it once, after creating everything that lives as long as the process.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)


def run_service(name: str, main: Main) -> int:
    """Runs a service until it ends or a signal stops it. Returns the exit code.

    SIGTERM and SIGINT set the shutdown signal; `main` is expected to drain and return. A
    second signal ends the process at once.

    Args:
        name: the service's name in its log entries.
        main: the service; called with the settings and the shutdown signal.
    """
    return run_process(name, lambda settings: serve(main, settings))


def run_process(name: str, body: Callable[[Settings], None]) -> int:
    """Reads the settings and runs `body` with them. Returns the exit code.

    `body` handles signals itself: by `serve`, or as a supervisor of processes that use `serve`.
    The arguments are those of `run_service`.
    """
    prepare_streams()
    arguments = _parse(name)
    handle_hangup(lambda *_: None)
    # Until the settings are read; errors in them are logged this way.
    configure_logging("info", "auto", service=name)
    try:
        settings = load_settings(_config_file(arguments), os.environ)
        if arguments.print_config:
            return _print(render(settings))
        configure_logging(settings.log.level, settings.log.format, service=name)
        _log.info("starting", version=vecguard_version())
        body(settings)
    except KeyboardInterrupt:
        # Only before our signal handlers are installed.
        return 128 + signal.SIGINT
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # the last before the exit code
        return exit_code(error)
    _log.info("stopped")
    return EXIT_CLEAN


def handle_hangup(handler: Callable[[int, FrameType | None], None]) -> None:
    """Handles SIGHUP, unless the parent process set it to be ignored (as nohup does)."""
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, handler)


def _parse(name: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"vecguard-{name.replace('_', '-')}", allow_abbrev=False)
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help=f"YAML file with settings (default: ${CONFIG_VARIABLE}, or none)",
    )
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="print the effective settings, secrets masked, and exit",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {vecguard_version()}")
    return parser.parse_args()


def _config_file(arguments: argparse.Namespace) -> Path | None:
    given: Path | None = arguments.config
    if given is not None:
        return given
    named = os.environ.get(CONFIG_VARIABLE)
    return Path(named) if named else None


def _print(text: str) -> int:
    sys.stdout.write(text)
    failure = take_output_failure()
    if failure is None:
        return EXIT_CLEAN
    if isinstance(failure, BrokenPipeError):
        return 128 + signal.SIGPIPE
    _log.error("cannot write to standard output", reason=failure.strerror)
    return EXIT_FAILED


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415  # optional
    except ImportError:
        return None
    return uvloop.new_event_loop


def serve(
    main: Main, settings: Settings, *, stop_signals: Sequence[signal.Signals] = STOP_SIGNALS
) -> None:
    """Runs a service on its own event loop until it ends or a signal stops it.

    Raises the error that ended it, if it was not a signal. When a thread of the loop runs for more
    than two seconds after that, this ends the process with the same exit code.
    """
    shutdown = ShutdownSignal()
    with (
        _StopSignals(shutdown, stop_signals) as signals,
        _ThreadsDeadline() as threads,
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        loop = runner.get_loop()
        loop.set_exception_handler(_without_abandoned_lookups)
        signals.deliver_to(loop)
        try:
            runner.run(_awaited(main, settings, shutdown, signals))
        except BaseException as error:
            threads.must_end(error)
            raise
        threads.must_end(None)


async def _awaited(
    main: Main, settings: Settings, shutdown: ShutdownSignal, signals: "_StopSignals"
) -> None:
    with signals.waking(asyncio.get_running_loop()):
        await main(settings, shutdown)


def _without_abandoned_lookups(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Calls the default handler, except for a failed look-up that no task waits for any more.

    uvloop leaves such a look-up behind when a connection attempt is given up before it has the
    address of a name. The next attempt reports that the name cannot be found.
    """
    if not isinstance(context.get("exception"), socket.gaierror):
        loop.default_exception_handler(context)


class _ThreadsDeadline:
    """Ends the process when threads of a loop run too long after its service has ended."""

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def must_end(self, error: BaseException | None) -> None:
        """Starts the deadline; `error` is the error that ended the service, if any."""
        self._timer = threading.Timer(_THREADS_SECONDS, self._leave, (error,))
        self._timer.daemon = True
        self._timer.start()

    @staticmethod
    def _leave(error: BaseException | None) -> None:
        code = EXIT_CLEAN if error is None else exit_code(error)
        _log.info("stopped; threads that still run are not waited for")
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        # An ordinary end would wait for the threads.
        os._exit(code)


class _StopSignals:
    """Turns the first SIGTERM or SIGINT into the shutdown signal; the second ends the process.

    A SIGHUP is only logged.

    The handlers belong to the interpreter, not to the loop, so that the second signal works even
    when a callback blocks the loop. They stay until the loop is closed, because its threads may
    take long to end.
    """

    def __init__(self, shutdown: ShutdownSignal, numbers: Sequence[signal.Signals]) -> None:
        self._shutdown = shutdown
        self._numbers = numbers
        self._loop: asyncio.AbstractEventLoop | None = None
        self._received: signal.Signals | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in self._numbers:
            self._previous[number] = signal.signal(number, self._receive)
        self._previous[signal.SIGHUP] = signal.getsignal(signal.SIGHUP)
        handle_hangup(self._hang_up)
        # A parent blocks them around a fork, so that none is lost before this line.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._numbers)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def deliver_to(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        if self._received is not None:
            loop.call_soon(self._announce, self._received)

    @contextlib.contextmanager
    def waking(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Makes signals wake the running loop.

        The interpreter runs a handler between two instructions. Without this, a signal that arrives
        just before asyncio's loop begins to wait is handled only at the loop's next event. uvloop
        wakes by itself.
        """
        present = signal.set_wakeup_fd(-1)
        if present != -1:
            signal.set_wakeup_fd(present)
            yield
            return
        reader, writer = socket.socketpair()
        with reader, writer:
            reader.setblocking(False)
            writer.setblocking(False)
            loop.add_reader(reader, _drain, reader)
            signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
            try:
                yield
            finally:
                signal.set_wakeup_fd(-1)
                loop.remove_reader(reader)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self._received is not None:
            # No log entry: this may have interrupted the log itself.
            os._exit(128 + number)
        self._received = signal.Signals(number)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._announce, self._received)

    def _hang_up(self, _number: int, _frame: FrameType | None) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_log.info, HANGUP_CHANGES_NOTHING)

    def _announce(self, number: signal.Signals) -> None:
        _log.info("stopping; a second signal stops at once", signal=number.name)
        self._shutdown.set()


def _drain(reader: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        reader.recv(4096)


def exit_code(error: BaseException) -> int:
    """Logs what ended the service, and returns the exit code."""
    leaves = list(_leaves(error))
    expected = [leaf for leaf in leaves if isinstance(leaf, VecguardError)]
    # One cause may end several tasks with the same text.
    for message, reason in dict.fromkeys((leaf.message, leaf.reason) for leaf in expected):
        _log.error(message, reason=reason)
    for leaf in expected:
        _log.debug("where it was raised", exc_info=leaf)
    if len(expected) < len(leaves):
        _log.critical("ended by an unexpected error", exc_info=_traced(error, leaves))
        return EXIT_BUG
    configuration = all(isinstance(leaf, ConfigurationError) for leaf in expected)
    return EXIT_CONFIGURATION if configuration else EXIT_FAILED


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _traced(error: BaseException, leaves: Sequence[BaseException]) -> BaseException:
    """Returns the only error of a group: the group adds only frames of the task group."""
    return leaves[0] if len(leaves) == 1 else error
