"""What a forwarded, authenticated call costs our own code: all of the relay but the sockets.

`python -m tests.bench.hot_path [--profile]` gives prebuilt bytes of clients and of a backend to
the real links of both sides. It is for finding out where time goes; what counts is `relay` and
`peers` of `make bench`.
"""

import argparse
import asyncio
import base64
import cProfile
import pstats
import time

from tests.bench.memory import known_login
from tests.bench.wire import frames
from tests.bench.wire.blocks import RequestBlocks
from tests.bench.wire.frames import frame
from tests.support.waiting import eventually
from vecguard.config import Settings
from vecguard.lifecycle import settle_memory
from vecguard.proxy.authentication.origin import origin_of
from vecguard.proxy.compiled import is_compiled
from vecguard.proxy.gatekeeper import LoginGatekeeper
from vecguard.proxy.relay import configured
from vecguard.proxy.relay.calls.open_calls import OpenCalls
from vecguard.proxy.relay.limits import limit_hits
from vecguard.proxy.relay.upstreams.header_policy import HeaderPolicy
from vecguard.proxy.relay.upstreams.routing import Routes
from vecguard.proxy.relay.upstreams.upstream import Upstream

CONNECTIONS, STREAMS = 16, 16
CALLS = CONNECTIONS * STREAMS
ROUNDS = 200
METHOD = b"/milvus.proto.milvus.MilvusService/GetVersion"
BODY = frames.message(b"x" * 256)
LAST = frames.END_HEADERS | frames.END_STREAM
GREETING = frames.settings({frames.INITIAL_WINDOW_SIZE: frames.MAX_WINDOW}) + frames.window_update(
    0, 2**30
)
# What a socket gives at most in one read.
READ_BYTES = 256 * 1024


class _Nowhere:
    """A transport that keeps nothing."""

    def write(self, data):
        pass

    def get_extra_info(self, name):
        return None

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

    def close(self):
        pass

    def abort(self):
        pass


class _Requests:
    """What one connection of grpcio sends."""

    def __init__(self):
        login = base64.b64encode(b"root:Milvus")
        self._blocks = RequestBlocks(METHOD, b"127.0.0.1:19530", login, encrypted=False)
        self._count = 0

    def next(self):
        block = (
            self._blocks.later % (self._count, self._count) if self._count else (self._blocks.first)
        )
        stream_id = 2 * self._count + 1
        self._count += 1
        return frame(frames.HEADERS, frames.END_HEADERS, stream_id, block) + frame(
            frames.DATA, frames.END_STREAM, stream_id, BODY
        )


def _answer(stream_id):
    begin = b"\x88\x0f\x10\x10application/grpc"
    return (
        frame(frames.HEADERS, frames.END_HEADERS, stream_id, begin)
        + frame(frames.DATA, 0, stream_id, BODY)
        + frame(frames.HEADERS, LAST, stream_id, frames.literal(b"grpc-status", b"0"))
    )


class Rig:
    """Clients and a backend that are nothing but bytes."""

    def __init__(self, gatekeeper):
        self.active = OpenCalls()
        settings, hits = Settings(), limit_hits()
        upstream = Upstream(
            "backend",
            self._connect,
            authority="backend:1",
            policy=HeaderPolicy(),
            pool=configured.pool(settings.backend.pool),
            hits=hits,
        )
        self.listener = configured.listener(
            settings.proxy,
            gatekeeper,
            Routes(table={b"/our.Service/*": upstream}, default=upstream),
            self.active,
            hits=hits,
            origin_of=origin_of,
        )
        self._requests = [_Requests() for _ in range(CONNECTIONS)]
        self._next_id = 1
        self.backend = None

    async def start(self):
        self.clients = []
        for _ in range(CONNECTIONS):
            place = self.listener.connection_limits.enter("127.0.0.1")
            client = self.listener._make_link(place, ("127.0.0.1", 50_000))
            client.connection_made(_Nowhere())
            client.data_received(frames.PREFACE + GREETING)
            self.clients.append(client)
        # The first call of each waits for the connection to the backend.
        for client, requests in zip(self.clients, self._requests, strict=True):
            client.data_received(requests.next())
        await eventually(self._is_waited_for, 5.0)
        self.backend.data_received(self._answers(CONNECTIONS))

    def prepare(self):
        """The bytes of one round: a full set of calls, and the answers to all of them."""
        requests = [b"".join(one.next() for _ in range(STREAMS)) for one in self._requests]
        answers = self._answers(CALLS)
        return requests, [
            answers[at : at + READ_BYTES] for at in range(0, len(answers), READ_BYTES)
        ]

    async def play(self, requests, answers):
        for client, request in zip(self.clients, requests, strict=True):
            client.data_received(request)
        await asyncio.sleep(0)  # what was collected is written
        while any(client.is_waiting for client in self.clients):  # noqa: ASYNC110 - no event says it
            await asyncio.sleep(0)
        for answer in answers:
            self.backend.data_received(answer)
        # Answers are handled in slices of time; a profiled loop needs several.
        while self.backend.connection.streams:  # noqa: ASYNC110 - no event says it
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def _is_waited_for(self):
        return self.backend and len(self.backend.connection.streams) == CONNECTIONS

    async def _connect(self, factory):
        self.backend = factory()
        self.backend.connection_made(_Nowhere())
        self.backend.data_received(GREETING)
        return self.backend

    def _answers(self, count):
        first, self._next_id = self._next_id, self._next_id + 2 * count
        return b"".join(map(_answer, range(first, self._next_id, 2)))


async def measure(profile: cProfile.Profile | None = None) -> float:
    """Microseconds per call, of the fastest tenth of all rounds (others may use the machine)."""
    rig = Rig(LoginGatekeeper(await known_login()))
    await rig.start()
    settle_memory()
    costs = []
    for _ in range(ROUNDS):
        requests, answers = rig.prepare()
        if profile:
            profile.enable()
        begin = time.process_time()
        await rig.play(requests, answers)
        costs.append((time.process_time() - begin) / CALLS * 1e6)
        if profile:
            profile.disable()
    if rig.active or rig.backend.connection.streams:
        raise AssertionError("calls are left open")
    return sorted(costs)[ROUNDS // 10]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    profile = cProfile.Profile() if parser.parse_args().profile else None
    kind = "compiled" if is_compiled() else "from the sources"
    print(f"{asyncio.run(measure(profile)):.2f} us per call, {kind}")
    if profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    main()
