"""How several workers start, and how they do not: the service's own entry point, nothing behind."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.stacks import clean_environment
from tests.support.worker_processes import alive, children, listening
from vecguard.addresses import Address
from vecguard.lifecycle import HANGUP_CHANGES_NOTHING

DEADLINE = 20
PROJECT = Path(__file__).parents[3]


class Service:
    def __init__(self, process):
        self.process = process
        self.entries = []

    def wait_for(self, event):
        """Read the log until the event comes. The test's timeout is the deadline."""
        for line in self.process.stderr:
            self.entries.append(json.loads(line))
            if self.entries[-1]["event"].startswith(event):
                return self.entries[-1]
        raise AssertionError(f"{event!r} never came: {self.entries}")

    def end(self):
        """The exit code; the whole log is in `entries`."""
        _, rest = self.process.communicate(timeout=DEADLINE)
        self.entries += [json.loads(line) for line in rest.splitlines()]
        return self.process.returncode

    @property
    def errors(self):
        return [each["event"] for each in self.entries if each["level"] in ("error", "critical")]


def _hangups_arrive():
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def start(tmp_path):
    """Start a proxy with three workers and these settings."""
    processes = []

    def start(**settings):
        own = {"ip": "127.0.0.1", "port": 0, "workers": 3}
        operations = {"ip": "127.0.0.1", "port": 0}
        proxy = {**own, "operations": operations, **settings.pop("proxy", {})}
        # No process listens on the discard port.
        nowhere = {"addresses": ["127.0.0.1:9"]}
        file = tmp_path / "proxy.json"  # which is YAML too
        file.write_text(json.dumps({"proxy": proxy, "rootCoord": nowhere, **settings}))
        process = subprocess.Popen(
            [sys.executable, "-m", "vecguard.proxy", "--config", str(file)],
            env=clean_environment() | {"PYTHONPATH": str(PROJECT)},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # These tests may run under nohup.
            preexec_fn=_hangups_arrive,  # noqa: PLW1509 - no other thread runs here
        )
        processes.append(process)
        return Service(process)

    yield start
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=DEADLINE)


def test_a_port_that_is_open_without_tls_is_told_once_for_all_workers(start):
    service = start(proxy={"ip": "0.0.0.0"})
    service.wait_for("serving")
    service.process.terminate()
    assert service.end() == 0
    warnings = [each["event"] for each in service.entries if each["level"] == "warning"]
    assert sum("open to the network without TLS" in warning for warning in warnings) == 1, warnings


def test_a_broken_configuration_ends_all_at_once_and_is_told_once(start, tmp_path):
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    service = start(
        common={"security": {"tlsMode": 1}},
        tls={"serverPemPath": str(broken), "serverKeyPath": str(broken)},
    )
    assert service.end() == 2
    assert len([error for error in service.errors if str(broken) in error]) == 1, service.errors
    assert service.errors[-1] == "worker 1 has ended (exit code 2) before it served"


@pytest.mark.parametrize("key", ["proxy.port", "proxy.operations.port"])
def test_a_port_that_somebody_has_ends_the_start(start, key):
    with socket.socket() as taken:
        # Even a process that would share it: another proxy, started by mistake.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        at = {"ip": "127.0.0.1", "port": port}
        service = start(proxy=at if key == "proxy.port" else {"operations": at})
        assert service.end() == 2
    (error,) = service.errors
    assert f"127.0.0.1:{port}" in error
    assert key in error


def test_any_free_port_is_the_same_for_all_workers_and_for_both_families(start):
    service = start(proxy={"ip": "[::]", "operations": {"ip": "::", "port": 0}})
    addresses = [service.wait_for("serving")["address"] for _ in range(3)]
    assert len(set(addresses)) == 1
    address = Address.parse(addresses[0])
    assert address.host == "::"
    for host in ("127.0.0.1", "::1"):
        socket.create_connection((host, address.port), timeout=DEADLINE).close()
    assert len(listening(service.process.pid, address.port)) == 3


def test_each_entry_of_the_log_says_which_worker_wrote_it(start):
    service = start()
    entries = [service.wait_for("serving") for _ in range(3)]
    assert sorted(entry["worker"] for entry in entries) == ["1", "2", "3"]
    assert len({entry["pid"] for entry in entries}) == 3


@pytest.mark.parametrize("event", ["supervising", "serving"])
def test_sigterm_during_the_start_stops_in_good_order(start, event):
    service = start()
    service.wait_for(event)
    service.process.terminate()
    assert service.end() == 0
    assert service.errors == []
    assert service.entries[-1]["event"] == "stopped"


def test_a_signal_to_the_whole_group_stops_in_good_order(start):
    service = start()
    for _ in range(3):
        service.wait_for("serving")
    # As systemd does at a stop, and a terminal at Ctrl-C.
    os.killpg(service.process.pid, signal.SIGINT)
    assert service.end() == 0
    assert service.errors == []


def test_a_hangup_of_the_whole_group_is_logged_and_ends_nobody(start):
    service = start()
    for _ in range(3):
        service.wait_for("serving")
    os.killpg(service.process.pid, signal.SIGHUP)
    # The supervisor, the workers, and the operations port.
    told = [service.wait_for(HANGUP_CHANGES_NOTHING) for _ in range(5)]
    assert {entry.get("worker") for entry in told} == {None, "1", "2", "3", "operations"}
    service.process.terminate()
    assert service.end() == 0
    assert service.errors == []


def test_the_supervisor_has_one_thread_so_that_it_can_fork(start):
    service = start()
    for _ in range(3):
        service.wait_for("serving")
    assert len(list(Path(f"/proc/{service.process.pid}/task").iterdir())) == 1


def test_one_worker_is_one_process(start):
    service = start(proxy={"workers": 1})
    assert service.wait_for("serving")["pid"] == service.process.pid
    assert children(service.process.pid) == []
    service.process.terminate()
    assert service.end() == 0
    assert all("worker" not in entry for entry in service.entries)


def test_a_supervisor_killed_during_the_start_leaves_nobody(start):
    service = start()
    pids = [service.wait_for("serving")["pid"]]
    pids += children(service.process.pid)
    service.process.kill()
    deadline = time.monotonic() + DEADLINE
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, pids
        time.sleep(0.01)
