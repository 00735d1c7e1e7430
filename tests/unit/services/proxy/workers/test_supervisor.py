"""A supervisor in a process of its own, with children written here."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.worker_processes import alive

DEADLINE = 20
PROJECT = Path(__file__).parents[5]

PRELUDE = """
import os, select, signal, sys, time
from vecguard.boot_clock import boot_clock
from vecguard.lifecycle import run_process
from vecguard.proxy.workers.supervisor import Role, Supervisor

def say(text):
    os.write(1, (text + "\\n").encode())

def serves(name):
    def body(pipes):
        say(f"{name} up {os.getpid()}")
        pipes.serving()
        select.select([pipes.stop], [], [])
        say(f"{name} stopped")
        return 0
    return body

def deaf(pipes):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pipes.serving()
    say(f"deaf up {os.getpid()}")
    while True:
        time.sleep(1)

def fails(code, *, serving=False):
    def body(pipes):
        if serving:
            pipes.serving()
        say("failing")
        return code
    return body

ROLES = [
"""
END = """
]

def start(settings):
    Supervisor(ROLES, clock=boot_clock, stop_seconds={stop_seconds}).run()

sys.exit(run_process("proxy", start))
"""


class Supervised:
    def __init__(self, process):
        self.process = process
        self.said: list[str] = []

    def wait_for(self, line_start, times=1):
        """Read until a line begins so, and return its rest; the test's timeout ends it."""
        for line in self.process.stdout:
            self.said.append(line.rstrip())
            times -= line.startswith(line_start)
            if not times:
                return line[len(line_start) :].strip()
        raise AssertionError(
            f"{line_start!r} never came: {self.said}\n{self.process.stderr.read()}"
        )

    def end(self):
        """(exit code, the log)."""
        rest, log = self.process.communicate(timeout=DEADLINE)
        self.said += rest.splitlines()
        return self.process.returncode, log


@pytest.fixture
def supervise(tmp_path):
    """Start a supervisor with these roles."""
    processes = []

    def start(roles, stop_seconds=10.0):
        script = tmp_path / "supervised.py"
        script.write_text(PRELUDE + f"    {roles}" + END.format(stop_seconds=stop_seconds))
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("VECGUARD")}
        process = subprocess.Popen(
            [sys.executable, str(script)],
            env=inherited | {"PYTHONPATH": str(PROJECT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        return Supervised(process)

    yield start
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=DEADLINE)


def gone(pid):
    """Whether it ends; it may still be on its way when its output has ended."""
    deadline = time.monotonic() + DEADLINE
    while alive(int(pid)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_a_first_child_that_is_misconfigured_ends_all_before_the_others_start(supervise):
    supervised = supervise(
        'Role("first", fails(2), goes_first=True), Role("second", serves("second"))'
    )
    code, log = supervised.end()
    assert code == 2
    assert supervised.said == ["failing"]
    assert "first has ended (exit code 2) before it served" in log


@pytest.mark.parametrize("code", [1, 70])
def test_a_first_child_that_fails_otherwise_ends_all_with_1(supervise, code):
    assert supervise(f'Role("first", fails({code}), goes_first=True)').end()[0] == 1


def test_a_first_child_that_fails_ends_those_before_it_in_good_order(supervise):
    supervised = supervise(
        'Role("first", serves("first"), goes_first=True), Role("second", fails(2), goes_first=True)'
    )
    assert supervised.end()[0] == 2
    assert supervised.said[-1] == "first stopped"


def test_a_later_child_is_replaced_whatever_it_ended_of(supervise):
    supervised = supervise(
        'Role("first", serves("first"), goes_first=True), Role("second", fails(2))'
    )
    supervised.wait_for("failing", times=3)
    supervised.process.terminate()
    code, log = supervised.end()
    assert code == 0
    # At once, then with a delay that grows.
    delays = [line.partition('"delay_seconds": ')[2][:3] for line in log.splitlines()]
    assert [delay for delay in delays if delay][:2] == ["0.0", "0.5"]


def test_a_first_child_that_has_served_is_replaced_too(supervise):
    supervised = supervise('Role("first", fails(2, serving=True), goes_first=True)')
    supervised.wait_for("failing", times=2)
    supervised.process.terminate()
    assert supervised.end()[0] == 0


def test_a_killed_child_is_replaced_and_the_others_stay(supervise):
    supervised = supervise(
        'Role("first", serves("first"), goes_first=True), Role("second", serves("second"))'
    )
    supervised.wait_for("first up")
    pid = supervised.wait_for("second up")
    os.kill(int(pid), signal.SIGKILL)
    assert supervised.wait_for("second up") != pid
    assert "first stopped" not in supervised.said
    supervised.process.terminate()
    assert supervised.end()[0] == 0
    assert sorted(supervised.said[-2:]) == ["first stopped", "second stopped"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_of_the_group_stops_in_good_order(supervise, number):
    supervised = supervise(
        'Role("first", serves("first"), goes_first=True), Role("second", serves("second"))'
    )
    supervised.wait_for("second up")
    # SIGTERM has no handler in these plain children; a terminal sends SIGINT to all.
    if number == signal.SIGINT:
        os.killpg(supervised.process.pid, number)
    else:
        supervised.process.send_signal(number)
    assert supervised.end()[0] == 0
    assert sorted(supervised.said[-2:]) == ["first stopped", "second stopped"]


def test_who_outlasts_is_stopped_when_the_others_are_gone(supervise):
    supervised = supervise(
        'Role("last", serves("last"), outlasts=True), Role("first", serves("first"))'
    )
    supervised.wait_for("first up")
    supervised.process.terminate()
    assert supervised.end()[0] == 0
    assert supervised.said[-2:] == ["first stopped", "last stopped"]


def test_a_stop_during_the_start_starts_nobody_else(supervise):
    # A first child that never serves keeps the others waiting.
    slow = "lambda pipes: [say('slow up'), select.select([pipes.stop], [], [])] and 0"
    supervised = supervise(f'Role("slow", {slow}, goes_first=True), Role("next", serves("next"))')
    supervised.wait_for("slow up")
    supervised.process.terminate()
    assert supervised.end()[0] == 0
    assert supervised.said == ["slow up"]


def test_a_child_that_does_not_stop_is_killed(supervise):
    supervised = supervise('Role("deaf", deaf)', stop_seconds=0.1)
    pid = supervised.wait_for("deaf up")
    supervised.process.terminate()
    code, log = supervised.end()
    assert code == 0
    assert "deaf does not stop and is killed" in log
    assert gone(pid)


def test_a_second_signal_leaves_nobody_behind(supervise):
    supervised = supervise('Role("deaf", deaf)')
    pid = supervised.wait_for("deaf up")
    supervised.process.terminate()
    for line in supervised.process.stderr:
        if "a second signal stops at once" in line:
            break
    supervised.process.terminate()
    assert supervised.end()[0] == 128 + signal.SIGTERM
    assert gone(pid)
