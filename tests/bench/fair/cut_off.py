"""How long a revoked user's open stream goes on at a proxy that is cut off. Keys `fair.cut_off.*`.

Two proxies with default times (`lease.ttl` 10 s, `lease.grace` 1 s). The link of the first one to
root coord is frozen, without a reset; then the user's password is changed through the second.

- `ends_after_cut_s`: from the cut to the end of the stream at the first proxy;
- `ends_after_answer_s`: from the answer to the change to that end; below 0 where it came before.
"""

import asyncio
import tempfile
import time
from pathlib import Path

import grpc
import grpc.aio

from tests.bench.report import Report
from tests.integration.metrics.deployment import Deployment
from tests.support.credentials import header_of
from tests.support.cut_off_stack import stack_with_relay
from tests.support.echo_backend import echo_backend
from tests.support.relay import channel

_OLD, _NEW = "first-123", "second-123"
_SECONDS = 30.0


async def run(report: Report) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with echo_backend() as backend:
            settings = {
                "backend": {"address": f"127.0.0.1:{backend.port}"},
                "audit": {"output": "off"},
            }
            async with (
                stack_with_relay(Path(folder), settings) as (stack, relay),
                channel(stack.proxies[0].address) as cut_off,
                channel(stack.proxies[1].address) as other,
            ):
                deployment = Deployment(stack, backend, other)
                await deployment.create_user("alice", _OLD)
                stream = cut_off.unary_stream("/test.Echo/Open")(
                    b"hello", metadata=(("authorization", header_of("alice", _OLD).decode()),)
                )
                await stream.read()
                cut_at = time.perf_counter()
                relay.frozen = True
                (code, ended_at), answered_at = await asyncio.gather(
                    _ended(stream), _changed(deployment)
                )
                if code is not grpc.StatusCode.UNAVAILABLE:
                    raise AssertionError(f"the stream ended with {code}")
                report.add("fair.cut_off.ends_after_cut_s", ended_at - cut_at)
                report.add("fair.cut_off.ends_after_answer_s", ended_at - answered_at)


async def _ended(stream: grpc.aio.UnaryStreamCall) -> tuple[grpc.StatusCode, float]:
    async with asyncio.timeout(_SECONDS):
        return await stream.code(), time.perf_counter()


async def _changed(deployment: Deployment) -> float:
    await deployment.change_password("alice", _OLD, _NEW)
    return time.perf_counter()
