"""How many calls the services inside the proxy have at a time, and whose turn is next."""

from contextlib import AsyncExitStack

from tests.support.credentials import Gate
from tests.support.own_services import own_services
from tests.support.raw_http2 import message, raw_client, request_headers, round_trip
from tests.support.relay_parts import ScriptedGatekeeper
from tests.support.waiting import eventually
from vecguard.generated.grpc.health import v1 as pb
from vecguard.generated.milvus.proto import milvus
from vecguard.proxy.principal import Principal

LIST = b"/milvus.proto.milvus.MilvusService/ListCredUsers"
CREATE = b"/milvus.proto.milvus.MilvusService/CreateCredential"
CHECK = b"/grpc.health.v1.Health/Check"
WATCH = b"/grpc.health.v1.Health/Watch"
SERVING = message(bytes(pb.HealthCheckResponse(status=pb.HealthCheckResponseServingStatus.SERVING)))
CALLS = 990
USERS = [f"user{number}" for number in range(8)]
AT_A_TIME, OF_ONE_USER = 32, 16


class Users(ScriptedGatekeeper):
    """Takes the authorization for the user's name."""

    def admit_now(self, authorization, client, earlier=None):
        return Principal(authorization[0].decode(), 1)


def call(client, user, path):
    return client.request(request_headers(path, (b"authorization", user.encode())), message(b""))


async def reached(gate, calls):
    async def it_holds() -> bool:
        return gate.waiting >= calls

    await eventually(it_holds, 20.0)


async def test_one_user_s_account_calls_keep_out_nobody_else_s():
    gate = Gate()
    gate.close()
    async with (
        own_services(1, list_gate=gate, gatekeeper=Users()) as relay,
        raw_client(relay.port) as attacker,
        raw_client(relay.port) as honest,
    ):
        calls = [call(attacker, "alice", LIST) for _ in range(CALLS)]
        await reached(gate, OF_ONE_USER)
        await round_trip(attacker)
        begun, _, trailers = await honest.response(call(honest, "bob", CREATE))
        assert (b"grpc-status", b"0") in begun + trailers
        assert gate.waiting == OF_ONE_USER
        gate.open()
        for each in calls:
            _, body, _ = await attacker.response(each)
            assert milvus.ListCredUsersResponse().parse(body[5:]).usernames == ["alice"]


async def test_all_users_together_have_so_many_account_calls_at_a_time():
    gate = Gate()
    gate.close()
    async with (
        own_services(1, list_gate=gate, gatekeeper=Users()) as relay,
        AsyncExitStack() as stack,
    ):
        clients = [await stack.enter_async_context(raw_client(relay.port)) for _ in USERS]
        calls = [
            [call(client, user, LIST) for _ in range(AT_A_TIME)]
            for client, user in zip(clients, USERS, strict=True)
        ]
        await reached(gate, OF_ONE_USER + 1)
        for client in clients:
            await round_trip(client)
        assert OF_ONE_USER < gate.waiting <= AT_A_TIME
        gate.open()
        for client, own in zip(clients, calls, strict=True):
            for each in own:
                await client.response(each)


async def test_calls_that_watch_the_health_do_not_hold_up_a_check():
    async with own_services(1, gatekeeper=Users()) as relay, AsyncExitStack() as stack:
        for number in range(AT_A_TIME + 8):
            client = await stack.enter_async_context(raw_client(relay.port))
            watch = call(client, f"user{number}", WATCH)
            await client.until(lambda client=client, watch=watch: client.body(watch) == SERVING)
        client = await stack.enter_async_context(raw_client(relay.port))
        _, body, _ = await client.response(call(client, "honest", CHECK))
        assert body == SERVING
