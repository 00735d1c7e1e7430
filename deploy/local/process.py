"""Runs and supervises one child process."""

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import LocalStackError
from deploy.local.readiness import Probe

_TETHER = Path(__file__).with_name("tether.py")
_POLL_SECONDS = 0.05
# The limit for reading the last lines of a process that has ended. It is reached only when a
# child of that process holds its output open.
_LAST_LINES_SECONDS = 1.0
_READ_SIZE = 65536
_LONGEST_LINE = 65536
_LINES_KEPT = 200
_LINES_SHOWN = 15


@dataclass(frozen=True, kw_only=True)
class Program:
    """Describes what to run, how to probe that it is ready, and how to stop it.

    Attributes:
        name: shown before its log lines and in messages.
        argv: the program and its arguments.
        environment: its complete environment.
        directory: where it runs.
        ready: returns whether it is ready; called until it returns True.
        stop_signal: the signal that ends it in good order.
        start_seconds: the limit until it is ready.
        stop_seconds: the limit for its end before it is killed.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    ready: Probe
    stop_signal: signal.Signals = signal.SIGTERM
    start_seconds: float = 30.0
    stop_seconds: float = 15.0


class Process:
    """Runs a child process in its own session, so that a terminal's Ctrl-C does not reach it.

    One task reads its output. `start()` begins it and `stop()` always awaits it, so the process
    owns the task.
    """

    def __init__(self, program: Program, on_line: Callable[[str, str], None]) -> None:
        """Passes each line of output, standard error included, to `on_line(name, line)`."""
        self.program = program
        self.name = program.name
        self._on_line = on_line
        self._child: asyncio.subprocess.Process | None = None
        self._output: asyncio.Task[None] | None = None
        self._recent: deque[str] = deque(maxlen=_LINES_KEPT)

    @property
    def pid(self) -> int:
        """The process id of the running or last child.

        Raises:
            LocalStackError: it was never started.
        """
        return self._started().pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.returncode is None

    @property
    def recent_lines(self) -> list[str]:
        """Returns its newest lines of output, oldest first."""
        return list(self._recent)

    async def start(self) -> None:
        """Starts it, without waiting until it is ready."""
        # A pipe of our own: with asyncio's the child would count as running while one of its
        # own children holds the pipe open.
        reading, writing = os.pipe()
        try:
            stream = asyncio.StreamReader()
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(reading, "rb")
            )
            self._output = asyncio.create_task(
                self._read_output(stream, transport), name=f"output of {self.name}"
            )
            self._child = await self._spawn(writing)
        finally:
            os.close(writing)

    async def _spawn(self, output: int) -> asyncio.subprocess.Process:
        program = self.program
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(_TETHER)),
            *(str(os.getpid()), str(int(program.stop_signal))),
            *program.argv,
            env=program.environment,
            cwd=program.directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )

    async def wait_ready(self) -> None:
        """Waits until it is ready.

        Raises:
            LocalStackError: it ended, or did not become ready in time; the text has its last lines.
        """
        try:
            async with asyncio.timeout(self.program.start_seconds):
                while not await self.program.ready():
                    if not self.running:
                        raise await self.failure()
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError as error:
            seconds = self.program.start_seconds
            raise LocalStackError(
                f"{self.name} was not ready within {seconds:g} s{self._last_lines()}"
            ) from error

    async def wait(self) -> int:
        """Waits until it has ended and its last lines are read.

        Returns:
            its exit code; -N if signal N ended it.
        """
        code = await self._started().wait()
        if self._output is not None:
            await asyncio.wait({self._output}, timeout=_LAST_LINES_SECONDS)
        return code

    async def failure(self) -> LocalStackError:
        """Waits until it has ended, and returns an error with its last lines."""
        code = await self.wait()
        how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        return LocalStackError(f"{self.name} ended by itself ({how}){self._last_lines()}")

    async def stop(self) -> None:
        """Asks it to end; kills it and its children when it does not end in time."""
        try:
            if self._child is not None and self.running:
                self.resume()
                self._child.send_signal(self.program.stop_signal)
                async with asyncio.timeout(self.program.stop_seconds):
                    await self._child.wait()
        except TimeoutError:
            seconds = self.program.stop_seconds
            self._emit(f"did not stop within {seconds:g} s and was killed")
        finally:
            if self._child is not None:
                # Also after an orderly end: its workers may still run.
                self.kill()
                await self.wait()
            if self._output is not None:
                self._output.cancel()
                await asyncio.wait({self._output})

    async def restart(self) -> None:
        """Stops it, starts it again and waits until it is ready.

        Raises:
            LocalStackError: as `wait_ready`.
        """
        await self.stop()
        await self.start()
        await self.wait_ready()

    def kill(self) -> None:
        """Sends SIGKILL to it and to all of its children."""
        self._signal_group(signal.SIGKILL)

    def suspend(self) -> None:
        """Stops it at its current instruction, like a paused virtual machine."""
        self._signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        """Continues it after `suspend`."""
        self._signal_group(signal.SIGCONT)

    def _signal_group(self, number: signal.Signals) -> None:
        # The leader of the session gave its own id to the group.
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            # It has ended; macOS raises PermissionError until the process is waited for.
            return

    def _started(self) -> asyncio.subprocess.Process:
        if self._child is None:
            raise LocalStackError(f"{self.name} was not started")
        return self._child

    async def _read_output(
        self, stream: asyncio.StreamReader, transport: asyncio.ReadTransport
    ) -> None:
        with contextlib.closing(transport):
            await self._read_lines(stream)

    async def _read_lines(self, stream: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await stream.read(_READ_SIZE):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                lines.append(rest)
                rest = b""
            for line in lines:
                self._emit(line.decode(errors="replace").rstrip())
        if rest:
            self._emit(rest.decode(errors="replace").rstrip())

    def _emit(self, line: str) -> None:
        self._recent.append(line)
        self._on_line(self.name, line)

    def _last_lines(self) -> str:
        lines = self.recent_lines[-_LINES_SHOWN:]
        if not lines:
            return "; it printed nothing"
        return "; its last lines:\n" + "\n".join(f"  {line}" for line in lines)
