import os
import socket
import sys

import pytest
from prometheus_client import ProcessCollector

from vecguard.observability import process_figures
from vecguard.observability.process_figures import ProcessFigures

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def figures(collector):
    return {family.name: family.samples[0].value for family in collector.collect()}


def shape(collector):
    return [
        (family.name, family.documentation, family.type, family.samples[0].name)
        for family in collector.collect()
    ]


def test_they_are_those_of_the_library():
    ours, theirs = ProcessFigures(), ProcessCollector(registry=None)
    assert shape(ours) == shape(theirs)
    mine, others = figures(ours), figures(theirs)
    assert mine["process_start_time_seconds"] == others["process_start_time_seconds"]
    assert mine["process_max_fds"] == others["process_max_fds"]
    for name in ("process_virtual_memory_bytes", "process_resident_memory_bytes"):
        assert mine[name] == pytest.approx(others[name], rel=0.1)
    assert mine["process_cpu_seconds"] == pytest.approx(others["process_cpu_seconds"], abs=1.0)


def test_open_files_are_counted_without_a_list(monkeypatch):
    if not process_figures._open_files():
        pytest.skip("Linux before 6.2")
    ours = ProcessFigures()
    before = figures(ours)["process_open_fds"]
    monkeypatch.setattr(os, "listdir", lambda _: pytest.fail("listed"))
    with socket.socket(), socket.socket():
        assert figures(ours)["process_open_fds"] == before + 2


def test_an_older_system_is_asked_as_before(monkeypatch):
    ours = ProcessFigures()
    monkeypatch.setattr(process_figures, "_open_files", lambda: 0)
    assert figures(ours)["process_open_fds"] > 2
