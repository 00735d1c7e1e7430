"""What happens to a call before it has an upstream."""

import asyncio

from tests.support.memory_relay import memory_relay
from tests.support.raw_http2 import message
from tests.support.relay_parts import ScriptedGatekeeper
from vecguard.errors import Status
from vecguard.proxy.authentication.errors import WrongCredentialsError
from vecguard.proxy.http2.errors import ErrorCode
from vecguard.proxy.principal import ANONYMOUS, Principal
from vecguard.proxy.relay.upstreams.header_policy import HeaderPolicy

LOGIN = (b"authorization", b"bGV0IG1lIGlu")


class Gate(ScriptedGatekeeper):
    """Decides when the test says so."""

    def __init__(self):
        super().__init__(self._wait)
        self.decision = asyncio.get_running_loop().create_future()

    async def _wait(self, authorization):
        return await asyncio.shield(self.decision)


async def test_an_admitted_call_is_forwarded_with_its_user():
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client, b"/a.B/C", b"", LOGIN)
        assert relay.gatekeeper.seen == [(LOGIN[1],)]
        assert backend.value(there, b"x-vecguard-user") == b"alice"
        assert backend.value(there, b"authorization") is None
        assert backend.value(there, b"x-vecguard-peer") is None
        assert list(relay.open_calls.users()) == [Principal("alice", 7)]
        assert client.link.account.held > 1024  # the call itself, and its headers
        client.reset(call)


async def test_an_upstream_of_ours_learns_the_client_and_the_revision():
    async with memory_relay(policy=HeaderPolicy(shows_peer=True)) as relay:
        client = relay.client("192.0.2.7")
        call, there, backend = await relay.arrived(client)
        assert backend.value(there, b"x-vecguard-peer") == b"192.0.2.7"
        assert backend.value(there, b"x-vecguard-revision") == b"7"
        client.reset(call)


async def test_anonymous_calls_name_no_user_and_share_streams_by_address():
    async def admit(authorization):
        return ANONYMOUS

    gatekeeper = ScriptedGatekeeper(admit)
    policy = HeaderPolicy(shows_peer=True)
    async with memory_relay(gatekeeper=gatekeeper, policy=policy) as relay:
        callers = []
        for host in ("192.0.2.7", "192.0.2.8"):
            client = relay.client(host)
            call, there, backend = await relay.arrived(
                client, b"/a.B/C", b"", (b"x-vecguard-user", b"root")
            )
            names = [name for name, _ in backend.headers_of(there)]
            assert b"x-vecguard-user" not in names
            assert backend.value(there, b"x-vecguard-revision") == b"0"
            callers += [each.caller for each in client.link.calls()]
            client.reset(call)
        assert callers == ["address 192.0.2.7", "address 192.0.2.8"]


async def test_the_upstream_that_another_one_chooses_learns_the_user_alone():
    async with memory_relay(
        policy=HeaderPolicy(shows_peer=True),
        max_request_bytes=100,
        choose=lambda request, encodings: relay.upstream,
    ) as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(client, b"/a.B/C", message(b"1"))
        assert backend.value(there, b"x-vecguard-user") == b"alice"
        assert backend.value(there, b"x-vecguard-peer") is None
        client.reset(call)


async def test_what_a_client_says_of_itself_is_dropped():
    async with memory_relay() as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(
            client, b"/a.B/C", b"", (b"x-vecguard-user", b"root"), (b"x-other", b"1")
        )
        names = backend.headers_of(there)
        assert [value for name, value in names if name == b"x-vecguard-user"] == [b"alice"]
        assert (b"x-other", b"1") in names
        client.reset(call)


async def test_a_call_waits_for_a_decision_and_others_go_on():
    async with memory_relay(gatekeeper=(gate := Gate())) as relay:
        client = relay.client()
        first = client.request(b"/a.B/First", message(b"1"))
        await relay.quiet()
        assert not relay.backends
        assert len(relay.open_calls) == 1
        assert list(relay.open_calls.users()) == []
        gate.decide = None
        call, there, backend = await relay.arrived(client, b"/a.B/Second")
        assert backend.value(there, b":path") == b"/a.B/Second"
        gate.decision.set_result(Principal("bob", 3))
        await relay.quiet()
        assert backend.value(max(backend.streams), b"x-vecguard-user") == b"bob"
        for stream_id in (there, max(backend.streams)):
            backend.answer(stream_id)
        await relay.quiet()
        assert (client.status(first), client.status(call)) == (0, 0)


async def test_a_call_that_is_cancelled_is_not_decided_any_more():
    async with memory_relay(gatekeeper=Gate()) as relay:
        client = relay.client()
        call = client.request()
        await relay.quiet()
        (deciding,) = relay.listener._reception.tasks
        client.reset(call)
        await relay.quiet()
        assert deciding.cancelled()
        assert not relay.listener._reception.tasks


async def test_a_refused_call_gets_the_gatekeeper_s_error():
    async with memory_relay() as relay:
        relay.gatekeeper.refuse(error := WrongCredentialsError())
        client = relay.client()
        call = client.request(b"/a.B/C", b"", LOGIN)
        await relay.quiet()
        assert client.status(call) == Status.UNAUTHENTICATED.value
        assert client.value(call, b"grpc-message") == error.message.encode()
        ((authorization, address, refused),) = relay.gatekeeper.refused
        assert (authorization, address) == ((LOGIN[1],), "192.0.2.1")
        assert refused is error
        assert client.link._reputation.refusals == 1
        assert not relay.backends


async def test_a_bug_of_the_gatekeeper_is_told_without_its_text():
    async with memory_relay() as relay:
        relay.gatekeeper.refuse(ZeroDivisionError("a secret"))
        client = relay.client()
        call = client.request()
        await relay.quiet()
        assert client.status(call) == Status.INTERNAL.value
        assert b"secret" not in client.value(call, b"grpc-message")


async def test_what_is_no_grpc_is_answered_by_http():
    async with memory_relay() as relay:
        client = relay.client()
        call = client.request(b"no-slash")
        await relay.quiet()
        assert client.value(call, b":status") == b"400"
        assert client.link._reputation.refusals == 1


async def test_malformed_headers_reset_the_stream():
    async with memory_relay() as relay:
        client = relay.client()
        call = client.request(b"/a.B/C", b"", (b"connection", b"close"))
        await relay.quiet()
        assert client.was_reset(call) == ErrorCode.PROTOCOL_ERROR


class RecordingSpan:
    traceparent = b"00-ours-01"

    def __init__(self):
        self.code = None

    def end(self, code):
        self.code = code


class RecordingTracer:
    def __init__(self):
        self.begun, self.span = [], RecordingSpan()

    def begin(self, method, parents, states):
        self.begun.append((method, parents, states))
        return self.span


async def test_a_span_begins_with_the_call_and_ends_with_its_status():
    async with memory_relay(tracer=(tracer := RecordingTracer())) as relay:
        client = relay.client()
        call, there, backend = await relay.arrived(
            client, b"/a.B/C", b"", (b"traceparent", b"00-theirs-01")
        )
        assert tracer.begun == [(b"/a.B/C", [b"00-theirs-01"], [])]
        assert backend.value(there, b"traceparent") == b"00-ours-01"
        backend.answer(there, status=b"5")
        await relay.quiet()
        assert client.status(call) == 5
        assert tracer.span.code == 5


async def test_calls_are_counted_by_how_they_end():
    async with memory_relay() as relay:
        client = relay.client()
        for status in (b"0", b"5"):
            _, there, backend = await relay.arrived(client, b"/a.B/C")
            backend.answer(there, status=status)
            await relay.quiet()
        assert list(relay.listener.call_counts.counts()) == [
            ("/a.B/C", Status.OK, 1),
            ("/a.B/C", Status.NOT_FOUND, 1),
        ]
