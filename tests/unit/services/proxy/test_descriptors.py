"""Descriptors for every client that may be connected, or fewer clients."""

import resource
from multiprocessing import get_context

import pytest
import structlog

from vecguard.config.relay import ConnectionSettings
from vecguard.proxy.descriptors import fitting, provide

CONNECTIONS = ConnectionSettings(max=1000, max_per_address=200)


def _provided(soft, hard, answer):
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with structlog.testing.capture_logs() as logs:
        connections = provide(CONNECTIONS)
    left = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    answer.send((connections.max, connections.max_per_address, left, len(logs)))


def provided(soft, hard):
    """What comes of it in a process with these limits, which cannot be raised again."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_provided, args=(soft, hard, theirs))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        process.join()


def test_a_low_soft_limit_is_raised_as_far_as_needed():
    assert provided(256, 4096) == (1000, 200, 1384, 0)


def test_a_limit_that_is_high_enough_is_left_alone():
    assert provided(2000, 4096) == (1000, 200, 2000, 0)


def test_under_a_low_hard_limit_fewer_are_accepted_and_it_is_told():
    assert provided(256, 884) == (500, 100, 884, 1)


@pytest.mark.parametrize(("descriptors", "most", "each"), [(300, 150, 30), (1, 1, 1), (0, 1, 1)])
def test_however_few_there_are_some_are_left_for_the_proxy_itself(descriptors, most, each):
    bounded = fitting(CONNECTIONS, descriptors)
    assert (bounded.max, bounded.max_per_address) == (most, each)
