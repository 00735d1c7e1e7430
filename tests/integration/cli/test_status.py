import pytest

from tests.integration.cli.command import vecguard, vecguard_process
from tests.integration.cli.installation import Installation
from tests.support.waiting import eventually

# The output of the stack is read on this loop.
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_status_says_who_is_active_and_who_is_connected(installation: Installation):
    active = await installation.stack.active_root_coord()
    ended = await vecguard("status", *installation.operations, "-o", "json")
    assert ended.code == 0, ended.all
    answer = ended.json
    assert answer["ok"]
    assert answer["problems"] == []
    assert answer["active_root_coord"] == active.operations_address
    by_address = {process["address"]: process for process in answer["processes"]}
    leader = by_address[active.operations_address]
    assert leader["service"] == "root_coord"
    assert leader["state"] == "ready"
    assert leader["active"] is True
    assert leader["term"] > 0
    assert leader["proxies_connected"] == leader["leases"] == 2
    (standby,) = (each for each in installation.stack.root_coords if each is not active)
    assert by_address[standby.operations_address]["state"] == "standby"
    assert by_address[standby.operations_address]["active"] is False
    for proxy in installation.stack.proxies:
        report = by_address[proxy.operations_address]
        assert report["service"] == "proxy"
        assert report["authorization"] is True
        assert report["revocation"] == "strict"
        assert 0 < report["lease_seconds"] <= 10
        assert report["uptime_seconds"] >= 0
        assert report["certificates"] == report["failures"] == report["warnings"] == []


async def test_status_is_a_table_for_people(installation: Installation):
    ended = await vecguard_process("status", *installation.operations)
    assert ended.code == 0, ended.all
    active = await installation.stack.active_root_coord()
    assert f"http://{active.operations_address}/" in ended.out
    for words in ("active, term", "2 proxies connected", "standby", "strict revocation", "no TLS"):
        assert words in " ".join(ended.out.split())


async def test_a_process_that_does_not_answer_is_a_problem(installation: Installation):
    ended = await vecguard("status", *installation.operations, "-O", "127.0.0.1:1", "-o", "json")
    assert ended.code == 1
    assert ended.json["problems"] == ["127.0.0.1:1 does not answer: Connection refused"]
    nobody = await vecguard("status", "-O", "127.0.0.1:1", "-o", "json")
    assert nobody.code == 3
    assert nobody.json["processes"][0]["state"] == "unreachable"


async def test_another_service_is_not_taken_for_one_of_ours(installation: Installation):
    ended = await vecguard(
        "status", "-O", f"127.0.0.1:{installation.stack.ports.etcd}", "-o", "json"
    )
    assert ended.code == 3
    (problem,) = ended.json["problems"]
    assert "is it" in problem


async def test_a_paused_root_coord_shows_up(installation: Installation):
    """Its process is stopped and continued, so that the stack is afterwards as it was."""
    active = await installation.stack.active_root_coord()
    active.suspend()
    try:

        async def is_told():
            ended = await vecguard(
                "status", "-O", active.operations_address, "--timeout", "0.5", "-o", "json"
            )
            return ended.code == 3 and "no answer in time" in ended.json["problems"][0]

        await eventually(is_told)
    finally:
        active.resume()

    async def is_settled():
        return (await vecguard("status", *installation.operations, "-o", "json")).code == 0

    await eventually(is_settled, 60)
