"""The tool as its users start it, against a real stack, for a few seconds."""

import asyncio
import json
import signal
import sys
from functools import partial
from pathlib import Path

import grpc
import pytest

from deploy.local.stack import CHECKOUT
from tests.e2e.stacks import clean_environment, running_stack
from tests.load.local import ROOT
from tests.load.users import PREFIX
from tests.support.waiting import eventually
from vecguard.generated.milvus.proto import milvus as pb

pytestmark = pytest.mark.long

_SECONDS = 5
_SCENARIOS = {"known", "first", "wrong", "change", "churn"}


async def _load(*arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.load", *arguments),
        cwd=CHECKOUT,
        env=clean_environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(90):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def _users(address: str) -> list[str]:
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(
            "/milvus.proto.milvus.MilvusService/ListCredUsers",
            response_deserializer=pb.ListCredUsersResponse.FromString,
        )
        answer = await call(b"", metadata=ROOT.header, timeout=30)
    return list(answer.usernames)


async def test_a_running_deployment_is_loaded_judged_and_left_as_it_was(tmp_path: Path):
    password, report = tmp_path / "password", tmp_path / "report.html"
    password.write_text("Milvus\n")
    async with running_stack(tmp_path / "stack", proxies=2) as stack:
        urls = [proxy.address for proxy in stack.proxies]
        where = ("--url", ",".join(urls), "--password-file", str(password))
        how = ("--seconds", str(_SECONDS), "--rate", "known=50", "--raw", "0.2")
        # Others may use this machine: how fast it is must not decide.
        how += ("--max-lag", "60000", "--report", str(report))
        code, output = await _load(*where, *how, "--threshold", "known.failed_ratio<0.01")
        assert code == 0, output
        document = json.loads(report.with_suffix(".json").read_text())
        assert set(document["scenarios"]) == _SCENARIOS
        assert all(each["attempts"] for each in document["scenarios"].values())
        assert document["outcomes"]["change"].get("ok"), document["outcomes"]
        assert all(url in report.read_text() for url in urls)
        assert await _users(urls[0]) == ["root"]

        how += ("--seconds", "1")
        code, output = await _load(*where, *how, "--threshold", "known.p50_ms<0.001")
        assert code == 1, output
        assert not [name for name in await _users(urls[0]) if name.startswith(PREFIX)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_load_that_is_stopped_removes_its_users(number: signal.Signals, tmp_path: Path):
    password = tmp_path / "password"
    password.write_text("Milvus")
    async with running_stack(tmp_path / "stack") as stack:
        address = stack.proxies[0].address
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.load", "--url", address),
            *("--password-file", str(password), "--report", str(tmp_path / "report.html")),
            *("--seconds", "100"),
            cwd=CHECKOUT,
            env=clean_environment(),
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            # A job in the background ignores SIGINT, and so do all that it starts.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        try:

            async def users_were_created() -> bool:
                return len(await _users(address)) > 1

            await eventually(users_were_created)
            process.send_signal(number)
            async with asyncio.timeout(60):
                assert await process.wait() == 128 + number
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert await _users(address) == ["root"]


async def test_what_cannot_be_loaded_is_told_in_one_line(tmp_path: Path):
    password = tmp_path / "password"
    password.write_text("wrong password")
    async with running_stack(tmp_path / "stack") as stack:
        where = ("--url", stack.proxies[0].address, "--password-file", str(password))
        code, output = await _load(*where)
        assert (code, "needs the user and the password of an administrator" in output) == (2, True)
        assert "Traceback" not in output
        code, output = await _load(*where, "--threshold", "known.p98_ms<1")
        assert (code, "no figure 'p98_ms'" in output) == (2, True)
