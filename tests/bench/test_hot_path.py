import gc

import pytest

from tests.bench.hot_path import CALLS, Rig
from tests.bench.memory import known_login
from tests.support.waiting import eventually
from vecguard.proxy.authentication.known_login import KnownLogin
from vecguard.proxy.gatekeeper import LoginGatekeeper
from vecguard.proxy.http2.stream import Stream
from vecguard.proxy.relay.calls.call import Call
from vecguard.proxy.relay.calls.request import Request


@pytest.fixture
def collector_off():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_calls_leave_nothing_that_only_the_garbage_collector_could_free(collector_off):
    before = {id(found) for found in _found()}  # other tests may hold on to theirs
    rig = Rig(LoginGatekeeper(await known_login()))
    await rig.start()
    for _ in range(2):
        await rig.play(*rig.prepare())

    async def every_call_is_over():
        return not rig.active and not rig.backend.connection.streams

    # A loop that was kept from its turns needs more of them.
    await eventually(every_call_is_over)
    assert [found for found in _found() if id(found) not in before] == []
    assert sum(count for _, _, count in rig.listener.call_counts.counts()) > 2 * CALLS


def _found():
    return [
        found
        for found in gc.get_objects()
        if isinstance(found, Call | Stream | Request | KnownLogin)
    ]
