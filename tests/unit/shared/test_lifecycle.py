"""Real processes: a small service written here, started, signalled and judged by its exit."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from vecguard.lifecycle import HANGUP_CHANGES_NOTHING
from vecguard.observability.metrics import vecguard_version

DEADLINE = 20
PROJECT = Path(__file__).parents[3]

PRELUDE = """
import asyncio, os, sys, time
{loop}
from vecguard import lifecycle
from vecguard.errors import ConfigurationError, UnavailableError
from vecguard.lifecycle import run_service
from vecguard.observability.log import get_logger

log = get_logger("service")

async def main(settings, shutdown):
{body}

sys.exit(run_service("proxy", main))
"""

WITHOUT_UVLOOP = "sys.modules['uvloop'] = None"

WAIT = """
log.info("up", loop=type(asyncio.get_running_loop()).__module__)
await shutdown.wait()
assert shutdown.is_set()
log.info("drained")
"""


class Service:
    def __init__(self, process):
        self.process = process
        self.lines: list[dict] = []

    def wait_for(self, event):
        """Read the log until the event comes. The test's timeout is the deadline."""
        for line in self.process.stderr:
            self.lines.append(json.loads(line))
            if self.lines[-1]["event"] == event:
                return self.lines[-1]
        raise AssertionError(f"{event!r} never came: {self.lines}")

    def end(self):
        _, rest = self.process.communicate(timeout=DEADLINE)
        self.lines += [json.loads(line) for line in rest.splitlines()]
        return self.process.returncode

    def entry(self, event):
        return next(line for line in self.lines if line["event"] == event)


@pytest.fixture
def start(tmp_path):
    """Start a service with the given body of `main`."""
    processes = []

    def start(body, *arguments, loop="", environ=None, **options):
        script = tmp_path / "service.py"
        script.write_text(PRELUDE.format(loop=loop, body=textwrap.indent(body.strip(), "    ")))
        # Without PYTHONUNBUFFERED: what is left in a buffer at the end is part of the question.
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("VECGUARD", "PYTHON"))
        }
        process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            env=inherited | {"PYTHONPATH": str(PROJECT)} | (environ or {}),
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options,
            start_new_session=True,
        )
        processes.append(process)
        return Service(process)

    yield start
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.communicate(timeout=DEADLINE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("loop", "module"), [("", "uvloop"), (WITHOUT_UVLOOP, "asyncio")])
def test_a_signal_drains_and_ends_with_0(start, number, loop, module):
    if module == "uvloop":
        pytest.importorskip("uvloop")
    service = start(WAIT, loop=loop)
    up = service.wait_for("up")
    assert up["loop"].startswith(module)
    assert up["service"] == "proxy"
    service.process.send_signal(number)
    assert service.end() == 0
    events = [line["event"] for line in service.lines]
    assert events[-2:] == ["drained", "stopped"]
    assert service.entry("stopping; a second signal stops at once")["signal"] == number.name
    assert service.entry("starting")["version"] == vecguard_version()


@pytest.mark.parametrize("loop", ["", WITHOUT_UVLOOP])
@pytest.mark.parametrize(("first", "second"), [(15, 15), (15, 2), (2, 2)])
def test_a_second_signal_ends_the_process_at_once(start, loop, first, second):
    service = start('log.info("up")\nawait asyncio.sleep(1000)', loop=loop)
    service.wait_for("up")
    service.process.send_signal(first)
    service.wait_for("stopping; a second signal stops at once")
    service.process.send_signal(second)
    assert service.end() == 128 + second


@pytest.mark.parametrize("loop", ["", WITHOUT_UVLOOP])
def test_a_signal_wakes_a_loop_that_waits(start, loop):
    # A handler runs between two instructions: a signal that comes just before the wait is only
    # noticed if its number is also written to a descriptor that the loop waits for.
    body = """
import signal
descriptor = signal.set_wakeup_fd(-1)
assert descriptor != -1, "no descriptor is told of signals"
signal.set_wakeup_fd(descriptor)
log.info("up")
await shutdown.wait()
"""
    service = start(body, loop=loop)
    service.wait_for("up")
    service.process.send_signal(signal.SIGTERM)
    assert service.end() == 0


@pytest.mark.parametrize("loop", ["", WITHOUT_UVLOOP])
def test_a_second_signal_ends_even_a_process_whose_loop_is_stuck(start, loop, tmp_path):
    body = """
log.info("up")
await shutdown.wait()
log.info("stuck")
while True: time.sleep(0.01)
"""
    service = start(body, loop=loop)
    service.wait_for("up")
    service.process.send_signal(signal.SIGTERM)
    service.wait_for("stuck")
    service.process.send_signal(signal.SIGTERM)
    assert service.end() == 128 + signal.SIGTERM


def test_a_second_signal_ends_a_process_whose_threads_go_on(start):
    body = """
asyncio.get_running_loop().run_in_executor(None, time.sleep, 1000)
log.info("up")
await shutdown.wait()
log.info("drained")
"""
    service = start(body)
    service.wait_for("up")
    service.process.send_signal(signal.SIGTERM)
    service.wait_for("drained")
    service.process.send_signal(signal.SIGINT)
    assert service.end() == 128 + signal.SIGINT


@pytest.mark.parametrize("loop", ["", WITHOUT_UVLOOP])
@pytest.mark.parametrize(
    ("end", "code"), [("return", 0), ('raise UnavailableError("the store is gone")', 1)]
)
def test_threads_that_go_on_are_not_waited_for_and_change_no_exit_code(start, loop, end, code):
    body = f"""
lifecycle._THREADS_SECONDS = 0.1
asyncio.get_running_loop().run_in_executor(None, time.sleep, 1000)
{end}
"""
    service = start(body, loop=loop)
    assert service.end() == code
    assert service.lines[-1]["event"] == "stopped; threads that still run are not waited for"
    assert len([line for line in service.lines if line["level"] == "error"]) == code


@pytest.mark.parametrize("loop", ["", WITHOUT_UVLOOP])
def test_a_look_up_that_nobody_waits_for_any_more_is_no_error(start, loop):
    body = """
connecting = asyncio.create_task(
    asyncio.get_running_loop().create_connection(asyncio.Protocol, "no.such.host.invalid", 1)
)
await asyncio.sleep(0)
await asyncio.sleep(0)
connecting.cancel()
await asyncio.wait([connecting])
await asyncio.sleep(0.5)
"""
    service = start(body, loop=loop)
    assert failed(service, 0) == []


def hangups_arrive():
    """In the child: these tests may run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.parametrize("loop", ["", WITHOUT_UVLOOP])
def test_a_hangup_is_logged_and_ends_nothing(start, loop):
    service = start(WAIT, loop=loop, preexec_fn=hangups_arrive)
    service.wait_for("up")
    for _ in range(2):
        service.process.send_signal(signal.SIGHUP)
        service.wait_for(HANGUP_CHANGES_NOTHING)
    service.process.send_signal(signal.SIGTERM)
    assert service.end() == 0
    assert service.lines[-1]["event"] == "stopped"


def test_a_hangup_while_the_settings_are_read_ends_nothing(start, tmp_path):
    # It sleeps in its own start: the settings come from a pipe that is filled later.
    pipe = tmp_path / "vecguard.yaml"
    os.mkfifo(pipe)
    service = start(WAIT, "--config", str(pipe), preexec_fn=hangups_arrive)
    with pipe.open("w") as settings:  # opens when the service reads
        service.process.send_signal(signal.SIGHUP)
        settings.write("log: {level: info}\n")
    service.wait_for("up")
    service.process.send_signal(signal.SIGTERM)
    assert service.end() == 0


def test_a_hangup_that_the_parent_ignores_stays_ignored(start):
    service = start(WAIT, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    service.wait_for("up")
    service.process.send_signal(signal.SIGHUP)
    service.process.send_signal(signal.SIGTERM)
    assert service.end() == 0
    assert HANGUP_CHANGES_NOTHING not in [line["event"] for line in service.lines]


def test_a_service_that_ends_by_itself_ends_with_0(start):
    assert start("return").end() == 0


def failed(service, code):
    assert service.end() == code
    return [line for line in service.lines if line["level"] in ("error", "critical")]


def test_an_expected_failure_is_one_line_and_1(start):
    (entry,) = failed(start('raise UnavailableError("etcd cannot be reached")'), 1)
    assert entry["event"] == "etcd cannot be reached"
    assert entry["reason"] == "unavailable"
    assert "exception" not in entry


def test_a_configuration_that_cannot_be_used_is_one_line_and_2(start):
    (entry,) = failed(start('raise ConfigurationError("proxy.port is busy")'), 2)
    assert entry["event"] == "proxy.port is busy"


def test_a_bug_is_logged_with_its_traceback_and_70(start):
    (entry,) = failed(start("1 / 0"), 70)
    assert entry["level"] == "critical"
    assert "ZeroDivisionError" in entry["exception"]


def test_a_cancelled_main_is_a_bug(start):
    (entry,) = failed(start("raise asyncio.CancelledError"), 70)
    assert "CancelledError" in entry["exception"]


IN_GROUPS = """
async def fail(error):
    raise error
async with asyncio.TaskGroup() as outer:
    async with asyncio.TaskGroup() as inner:
        for error in ({errors}):
            inner.create_task(fail(error))
"""


def test_expected_failures_of_tasks_are_told_without_their_groups(start):
    errors = 'UnavailableError("a"), UnavailableError("b"), UnavailableError("a")'
    entries = failed(start(IN_GROUPS.format(errors=errors)), 1)
    assert [entry["event"] for entry in entries] == ["a", "b"]
    assert not any("exception" in entry for entry in entries)


def test_a_configuration_error_in_a_group_still_means_2(start):
    (entry,) = failed(start(IN_GROUPS.format(errors='ConfigurationError("a"),')), 2)
    assert entry["event"] == "a"


def test_a_single_bug_of_a_task_is_shown_without_its_groups(start):
    (entry,) = failed(start(IN_GROUPS.format(errors="ZeroDivisionError(),")), 70)
    assert "ZeroDivisionError" in entry["exception"]
    assert "ExceptionGroup" not in entry["exception"]


def test_a_bug_beside_an_expected_failure_hides_neither(start):
    errors = 'UnavailableError("a"), ZeroDivisionError()'
    expected, bug = failed(start(IN_GROUPS.format(errors=errors)), 70)
    assert expected["event"] == "a"
    assert "ZeroDivisionError" in bug["exception"]


# --- configuration --------------------------------------------------------------------------

SHOW_PORT = 'log.info("port", port=settings.proxy.port)'


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "vecguard.yaml"
    path.write_text("proxy: {port: 4711}")
    return path


def test_config_file_is_named_by_option_or_by_variable(start, config, tmp_path):
    by_option = start(SHOW_PORT, "--config", str(config), environ={"VECGUARD_CONFIG": "/none"})
    assert by_option.wait_for("port")["port"] == 4711
    by_variable = start(SHOW_PORT, environ={"VECGUARD_CONFIG": str(config)})
    assert by_variable.wait_for("port")["port"] == 4711


def test_environment_overrides_the_file(start, config):
    environ = {"VECGUARD__PROXY__PORT": "4712"}
    service = start(SHOW_PORT, "--config", str(config), environ=environ)
    assert service.wait_for("port")["port"] == 4712


def test_settings_choose_level_and_format_of_the_log(start):
    service = start(SHOW_PORT, environ={"VECGUARD__LOG__FORMAT": "text"})
    _, text = service.process.communicate(timeout=DEADLINE)
    assert "port=19530" in text
    service = start(SHOW_PORT, environ={"VECGUARD__LOG__LEVEL": "warn"})
    assert service.process.communicate(timeout=DEADLINE)[1] == ""


def test_faulty_configuration_stops_the_start_with_all_its_problems(start, config):
    config.write_text("proxy: {prot: 1}\ncache: {ttl: x}")
    (entry,) = failed(start(SHOW_PORT, "--config", str(config)), 2)
    assert f"{config}, line 1: proxy.prot: unknown key; did you mean proxy.port?" in entry["event"]
    assert "cache.ttl" in entry["event"]
    assert "exception" not in entry


def test_print_config_shows_the_effective_values_and_starts_nothing(start, config):
    environ = {"VECGUARD__COMMON__SECURITY__DEFAULTROOTPASSWORD": "hunter2"}
    service = start("1 / 0", "--config", str(config), "--print-config", environ=environ)
    output, log = service.process.communicate(timeout=DEADLINE)
    assert service.process.returncode == 0
    assert "port: 4711" in output
    assert "defaultRootPassword: <redacted>" in output
    assert "hunter2" not in output
    assert log == ""


def test_print_config_into_a_pipe_that_nobody_reads_ends_quietly(start):
    reading, writing = os.pipe()
    os.close(reading)
    service = start("return", "--print-config", stdout=writing)
    os.close(writing)
    _, log = service.process.communicate(timeout=DEADLINE)
    assert service.process.returncode == 128 + signal.SIGPIPE
    assert log == ""


def test_print_config_onto_a_full_disk_says_so(start):
    with Path("/dev/full").open("w") as full:
        service = start("return", "--print-config", stdout=full)
    (entry,) = failed(service, 1)
    assert entry["reason"] == "No space left on device"


def test_print_config_without_an_output_says_so(start):
    service = start("return", "--print-config", stdout=None, preexec_fn=lambda: os.close(1))
    (entry,) = failed(service, 1)
    assert entry["event"] == "cannot write to standard output"


def test_a_process_without_any_output_still_runs(start, tmp_path):
    def close_all():
        for descriptor in (0, 1, 2):
            os.close(descriptor)

    done = tmp_path / "done"
    body = f"log.info('x')\nopen({str(done)!r}, 'w').close()"
    service = start(body, stdin=None, stdout=None, stderr=None, preexec_fn=close_all)
    assert service.process.wait(DEADLINE) == 0
    assert done.exists()


def test_version_and_help_know_the_commands_name(start):
    service = start("return", "--version")
    output, _ = service.process.communicate(timeout=DEADLINE)
    assert output == f"vecguard-proxy {vecguard_version()}\n"
    service = start("return", "--help")
    assert "VECGUARD_CONFIG" in service.process.communicate(timeout=DEADLINE)[0]


def test_an_unknown_option_is_refused(start):
    service = start("return", "--prnt-config")
    _, text = service.process.communicate(timeout=DEADLINE)
    assert service.process.returncode == 2
    assert "--prnt-config" in text
