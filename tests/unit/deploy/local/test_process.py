import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.local.errors import LocalStackError
from deploy.local.process import Process, Program
from tests.support.waiting import until

SLEEP = "import signal; signal.pause()"
READY_SLEEP = f"print('ready', flush=True); {SLEEP}"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY_SLEEP}"
LEAVES_A_WORKER = (
    "import subprocess, sys; worker = subprocess.Popen(['sleep', '60']); "
    f"print('worker', worker.pid, flush=True); {READY_SLEEP}"
)

Start = Callable[..., "AwaitableProcess"]


class AwaitableProcess(Process):
    """A process that is ready once it printed `ready`."""

    def __init__(self, code: str, directory: Path, **options: float) -> None:
        async def ready() -> bool:
            return "ready" in self.recent_lines

        program = Program(
            name="child",
            argv=(sys.executable, "-c", code),
            environment=os.environ,
            directory=directory,
            ready=ready,
            **options,
        )
        super().__init__(program, lambda _name, _line: None)


@pytest_asyncio.fixture
async def child(tmp_path: Path) -> AsyncIterator[Start]:
    """Makes processes and stops them at the end."""
    made: list[AwaitableProcess] = []

    def make(code: str, **options: float) -> AwaitableProcess:
        made.append(AwaitableProcess(code, tmp_path, **options))
        return made[-1]

    yield make
    for process in made:
        if process.running:
            process.kill()
        await process.stop()


async def test_a_process_is_stopped_by_its_signal(child: Start):
    process = child(READY_SLEEP)
    await process.start()
    await process.wait_ready()

    await process.stop()

    assert await process.wait() == -signal.SIGTERM
    assert not process.running


async def test_a_process_that_ignores_its_signal_is_killed(child: Start):
    process = child(STUBBORN, stop_seconds=0.2)
    await process.start()
    await process.wait_ready()

    await process.stop()

    assert await process.wait() == -signal.SIGKILL
    assert process.recent_lines[-1] == "did not stop within 0.2 s and was killed"


async def test_a_suspended_process_is_stopped_in_good_order(child: Start):
    process = child(READY_SLEEP)
    await process.start()
    await process.wait_ready()
    process.suspend()
    await until(lambda: state(process.pid) == "T")

    await process.stop()

    assert await process.wait() == -signal.SIGTERM


async def test_workers_do_not_outlive_a_killed_process(child: Start):
    process = child(LEAVES_A_WORKER)
    await process.start()
    await process.wait_ready()
    worker = int(process.recent_lines[0].split()[1])

    os.kill(process.pid, signal.SIGKILL)
    async with asyncio.timeout(5):
        assert await process.wait() == -signal.SIGKILL
    await process.stop()

    await until(lambda: state(worker) in {"", "Z", "X"})


async def test_an_end_before_readiness_tells_code_and_last_lines(child: Start):
    process = child("import sys; print('one'); sys.exit('the reason')")
    await process.start()

    with pytest.raises(LocalStackError) as caught:
        await process.wait_ready()

    assert caught.value.message.startswith("child ended by itself (exit code 1)")
    assert "one" in caught.value.message
    assert "the reason" in caught.value.message


async def test_readiness_has_a_deadline(child: Start):
    process = child(SLEEP, start_seconds=0.3)
    await process.start()

    with pytest.raises(LocalStackError, match=r"child was not ready within 0\.3 s"):
        await process.wait_ready()


async def test_a_program_that_cannot_be_run_is_named(tmp_path: Path):
    async def never() -> bool:
        return False

    program = Program(
        name="child",
        argv=(str(tmp_path / "nothing"),),
        environment={},
        directory=tmp_path,
        ready=never,
    )
    process = Process(program, lambda _name, _line: None)
    await process.start()

    with pytest.raises(LocalStackError, match="nothing: No such file or directory"):
        await process.wait_ready()


async def test_a_process_starts_anew_after_a_kill(child: Start):
    process = child(READY_SLEEP)
    await process.start()
    await process.wait_ready()
    first = process.pid
    process.kill()
    await process.wait()

    await process.restart()

    assert process.running
    assert process.pid != first


async def test_an_endless_line_is_cut_and_bad_bytes_are_shown(child: Start):
    code = "import os; os.write(1, b'x' * 200_000 + b'\\n\\xff end\\nready\\n'); " + SLEEP
    process = child(code)
    await process.start()
    await process.wait_ready()

    lines = process.recent_lines
    assert "".join(lines[:-2]) == "x" * 200_000
    assert max(map(len, lines)) <= 2 * 65536
    assert lines[-2:] == ["\N{REPLACEMENT CHARACTER} end", "ready"]


async def test_an_interrupt_reaches_a_child_of_a_background_job(child: Start):
    process = child(READY_SLEEP)
    # What a shell without job control does to the programs it starts with `&`.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        await process.start()
    finally:
        signal.signal(signal.SIGINT, before)
    await process.wait_ready()

    os.kill(process.pid, signal.SIGINT)

    async with asyncio.timeout(5):
        assert await process.wait() in {1, -signal.SIGINT}


def state(pid: int) -> str:
    """The letter for a process's state in /proc; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return ""
