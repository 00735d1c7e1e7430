"""Traces through a real proxy: headers as the backend sees them, spans as a collector does."""

import pytest

from tests.integration.metrics.deployment import ROOT
from tests.support.credentials import header_of
from tests.support.waiting import eventually

pytest.importorskip("opentelemetry.sdk", reason="the extra tracing is not installed")

from tests.integration.metrics.collector import running_collector

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{PARENT}-01"
UNSAMPLED = f"00-{TRACE}-{PARENT}-00"
METHOD = "/test.Echo/Unary"


async def call(deployment, *metadata, method=METHOD, payload=b""):
    """How it ends; what the backend saw is its last call."""
    login = ("authorization", header_of(*ROOT).decode())
    sent = deployment.channel.unary_unary(method)(payload, metadata=(login, *metadata), timeout=20)
    return (await sent.code()).name


async def test_a_sampled_call_is_a_span_between_its_client_s_and_the_backend_s(start_deployment):
    async with running_collector() as collector:
        async with start_deployment(trace={"endpoint": collector.url}) as deployment:
            state = ("tracestate", "vendor=1")
            assert await call(deployment, ("traceparent", SAMPLED), state) == "OK"
            seen = deployment.backend.calls[-1]
            assert seen.values("tracestate") == ["vendor=1"]
            (traceparent,) = seen.values("traceparent")
            version, trace, own, flags = traceparent.split("-")
            assert (version, trace, flags) == ("00", TRACE, "01")
            assert own != PARENT
            fails = {"method": "/test.Echo/Fail", "payload": b"INTERNAL"}
            assert await call(deployment, ("traceparent", SAMPLED), **fails) == "INTERNAL"

            async def have_come():
                return len(collector.spans) == 2

            await eventually(have_come)
            good, bad = sorted(collector.spans, key=lambda span: span.name, reverse=True)
            assert good.name == METHOD[1:]
            assert good.trace_id.hex() == TRACE
            assert good.parent_span_id.hex() == PARENT
            assert good.span_id.hex() == own
            assert good.end_time_unix_nano > good.start_time_unix_nano
            assert (good.status.code, bad.status.code) == (0, 2)
        told = b"".join(collector.bodies)
        assert header_of(*ROOT) not in told
        assert ROOT[1].encode() not in told


async def test_what_is_not_sampled_passes_as_it_came_and_is_no_span(start_deployment):
    async with running_collector() as collector:
        async with start_deployment(trace={"endpoint": collector.url}) as deployment:
            assert await call(deployment, ("traceparent", UNSAMPLED)) == "OK"
            assert deployment.backend.calls[-1].values("traceparent") == [UNSAMPLED]
            assert await call(deployment) == "OK"
            assert deployment.backend.calls[-1].values("traceparent") == []
            assert (
                await call(deployment, ("traceparent", SAMPLED), method="/test.Echo/Count") == "OK"
            )
        # The proxy has stopped, so all is sent.
        assert [span.name for span in collector.spans] == ["test.Echo/Count"]


async def test_calls_without_a_trace_begin_one_where_that_is_set(start_deployment):
    async with running_collector() as collector:
        settings = {"endpoint": collector.url, "sampleFraction": 1.0}
        async with start_deployment(trace=settings) as deployment:
            assert await call(deployment) == "OK"
            (traceparent,) = deployment.backend.calls[-1].values("traceparent")
        (span,) = collector.spans
        assert span.trace_id.hex() == traceparent.split("-")[1]
        assert not span.parent_span_id


async def test_a_refused_call_is_a_span_too(start_deployment):
    async with running_collector() as collector:
        async with start_deployment(trace={"endpoint": collector.url}) as deployment:
            sent = deployment.channel.unary_unary(METHOD)(
                b"", metadata=(("traceparent", SAMPLED),), timeout=20
            )
            assert (await sent.code()).name == "UNAUTHENTICATED"
        (span,) = collector.spans
        codes = {each.key: each.value.int_value for each in span.attributes}
        assert codes["rpc.grpc.status_code"] == 16


async def test_without_tracing_headers_pass_as_they_came(start_deployment):
    async with start_deployment() as deployment:
        headers = (("traceparent", SAMPLED), ("tracestate", "vendor=1"))
        assert await call(deployment, *headers) == "OK"
        seen = deployment.backend.calls[-1]
        assert [(name, *seen.values(name)) for name, _ in headers] == list(headers)


async def test_a_collector_that_is_gone_holds_up_nobody(start_deployment):
    async with start_deployment(trace={"endpoint": "http://127.0.0.1:1/v1/traces"}) as deployment:
        assert await call(deployment, ("traceparent", SAMPLED)) == "OK"
        assert await deployment.stack.proxies[0].stop() is None
