"""`python -m deploy.local`, which is `make run`, as a person at a terminal meets it."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.local import __main__ as command
from deploy.local import ports as ports_module
from deploy.local import stack as stack_module
from deploy.local.ports import Ports
from deploy.local.stack import CHECKOUT
from tests.e2e.stacks import clean_environment
from vecguard.errors import ConfigurationError

START_SECONDS = 60.0
STOP_SECONDS = 40.0


@dataclass
class Run:
    """A running command: its process, what it printed so far, and its ports."""

    process: asyncio.subprocess.Process
    ports: Ports
    lines: list[str] = field(default_factory=list)

    async def until(self, text: str) -> None:
        """Read its output up to a line with this text."""
        assert self.process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            while line := await self.process.stdout.readline():
                self.lines.append(line.decode().rstrip())
                if text in self.lines[-1]:
                    return
        pytest.fail(f"ended before it printed {text!r}:\n" + "\n".join(self.lines))

    async def end(self) -> int:
        """Read the rest of its output, wait for its end, and return its exit code."""
        assert self.process.stdout is not None
        async with asyncio.timeout(STOP_SECONDS):
            rest = await self.process.stdout.read()
            self.lines += rest.decode().splitlines()
            return await self.process.wait()

    def children(self) -> dict[str, int]:
        """Its living children: a word of their command line, and their process id."""
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                pid = int(entry.name)
                if self.process.pid == parent_of(pid) and is_alive(pid):
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    found.update({name: pid for name in NAMES if name.encode() in words})
                    if Path(words[0].decode()).name == "etcd":
                        found["etcd"] = pid
        return found


def free_offset() -> int:
    """An offset by which every port is free, given to one test run at a time as `free_ports`."""
    # All of these are outside the range of outgoing connections.
    for offset in random.sample(range(8000, 8900), 900):
        claims = [ports_module._claimed(port) for _, _, port in Ports().shifted(offset)._uses("")]
        claimed = [claim for claim in claims if claim is not None]
        if len(claimed) == len(claims):
            ports_module._claims.extend(claimed)
            return offset
        for claim in claimed:
            os.close(claim)
    pytest.fail("no offset is free")


NAMES = ("milvus_lite", "vecguard.root_coord", "vecguard.proxy")
ALL = {"etcd", *NAMES}


@asynccontextmanager
async def running_command(
    data_dir: Path, offset: int | None = None, *options: str
) -> AsyncIterator[Run]:
    offset = free_offset() if offset is None else offset
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local", "--data-dir", str(data_dir)),
        *("--port-offset", str(offset)),
        *options,
        cwd=CHECKOUT,
        env=clean_environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield Run(process, Ports().shifted(offset))
    finally:
        if process.returncode is None:
            # Its children are tied to its life; the test for that is below.
            process.kill()
            await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_every_process_and_exits_with_0(
    tmp_path: Path, number: signal.Signals
):
    async with running_command(tmp_path) as run:
        await run.until("Ctrl-C stops everything")
        children = run.children()
        run.process.send_signal(number)
        code = await run.end()

    output = "\n".join(run.lines)
    assert set(children) == ALL
    assert code == 0, output
    assert not any(is_alive(pid) for pid in children.values())
    assert "was killed" not in output
    assert "Traceback" not in output


async def test_banner_tells_address_and_user_and_its_example_works_after_a_restart_too(
    tmp_path: Path,
):
    data, database = tmp_path / "data", tmp_path / "my.db"
    offset = free_offset()
    ports = Ports().shifted(offset)
    async with running_command(data, offset) as run:
        await run.until("Ctrl-C stops everything")
        lines = run.lines
        start = lines.index("from pymilvus import MilvusClient")
        example = "\n".join(lines[start : lines.index("", start)])
        found = [await output_of(example)]
        run.process.send_signal(signal.SIGINT)
        assert await run.end() == 0

    # The second start serves the same database, as one of the person's own.
    (data / "milvus-lite").rename(database)
    async with running_command(data, offset, "--backend-data", str(database)) as again:
        await again.until("Ctrl-C stops everything")
        found.append(await output_of(example))
        again.process.send_signal(signal.SIGINT)
        assert await again.end() == 0

    banner = "\n".join(lines)
    assert f"ready at 127.0.0.1:{ports.proxies[0].public}" in banner
    assert "Milvus (unless you changed it)" in banner
    assert all("'id': 1" in each for each in found), found
    assert not (data / "milvus-lite").exists()
    (reset,) = (line for line in lines if " root reset " in line)
    assert (CHECKOUT / reset.rpartition("--config ")[2]).is_file()


@pytest.mark.parametrize("options", [("--tls",), ("--tls-mode", "1")], ids=["mutual", "one-way"])
async def test_banner_of_an_encrypted_stack_has_an_example_that_works(
    tmp_path: Path, options: tuple[str, ...]
):
    async with running_command(tmp_path, None, *options) as run:
        await run.until("Ctrl-C stops everything")
        lines = run.lines
        start = lines.index("from pymilvus import MilvusClient")
        example = "\n".join(lines[start : lines.index("", start)])
        found = await output_of(example)
        plaintext = example.replace("https://", "http://").replace("secure=True", "timeout=1")
        refused = await output_of(plaintext)

    assert found == "['root']\n", found
    assert "Fail connecting to server" in refused
    assert any("Milvus Lite cannot speak TLS" in line for line in lines)
    assert all(len(line) <= 80 for line in lines[start:] if not line.startswith("certs = "))


async def test_unusable_certificates_are_named_with_advice(tmp_path: Path):
    broken = tmp_path / "certs" / "server.pem"
    broken.parent.mkdir()
    broken.touch()
    async with running_command(tmp_path, None, "--tls") as run:
        code = await run.end()

    output = "\n".join(run.lines)
    assert code == 1
    assert f"make run: the certificates in {broken.parent} cannot be used" in output
    assert "remove the directory to have new ones made" in output
    assert str(broken) in output


@pytest.mark.parametrize("victim", ["etcd", "vecguard.proxy"])
async def test_a_process_that_dies_ends_the_stack_with_1(tmp_path: Path, victim: str):
    async with running_command(tmp_path) as run:
        await run.until("Ctrl-C stops everything")
        children = run.children()
        os.kill(children[victim], signal.SIGKILL)
        code = await run.end()

    assert code == 1
    assert any("ended by itself (signal SIGKILL)" in line for line in run.lines), run.lines
    assert not any(is_alive(pid) for pid in children.values())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a child to its parent")
async def test_nothing_outlives_a_killed_supervisor(tmp_path: Path):
    async with running_command(tmp_path) as run:
        await run.until("Ctrl-C stops everything")
        children = run.children()
        run.process.kill()
        await run.end()
        async with asyncio.timeout(STOP_SECONDS):
            while any(map(is_alive, children.values())):  # noqa: ASYNC110  no event tells it
                await asyncio.sleep(0.05)

    assert set(children) == ALL


async def test_a_busy_port_is_named_with_its_purpose_and_option(tmp_path: Path):
    offset = free_offset()
    ports = Ports().shifted(offset)
    with socket.create_server(("127.0.0.1", ports.backend)):
        async with running_command(tmp_path, offset) as run:
            code = await run.end()

    assert code == 1
    assert run.lines[-1] == (
        f"make run: port {ports.backend} on 127.0.0.1, wanted for Milvus Lite, the backend, "
        "is already in use; choose others: "
        "make run RUN_ARGS='--port-offset 100 --data-dir data'"
    )


async def test_an_unusable_data_directory_is_named(tmp_path: Path):
    occupied = tmp_path / "file"
    occupied.touch()
    async with running_command(occupied / "below") as run:
        code = await run.end()

    assert code == 1
    assert run.lines[-1] == (
        f"make run: the data directory {occupied / 'below'} cannot be used (Not a directory); "
        "choose another: make run RUN_ARGS='--data-dir DIR'"
    )


async def test_a_second_stack_on_the_same_data_is_refused(tmp_path: Path):
    async with running_command(tmp_path) as first:
        await first.until("Ctrl-C stops everything")
        async with running_command(tmp_path) as second:
            code = await second.end()

    assert code == 1
    assert "another local stack uses the data directory" in second.lines[-1]


def test_a_missing_etcd_is_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def nowhere() -> Path:
        raise ConfigurationError("no etcd program is found")

    monkeypatch.setattr(stack_module, "find_etcd_binary", nowhere)

    assert command.main(["--data-dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "make run: no etcd program is found\n"


async def output_of(code: str) -> str:
    """What this Python program prints, errors included."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code),
        env=os.environ | {"NO_PROXY": "*", "no_proxy": "*"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(START_SECONDS):
        output, _ = await process.communicate()
    return output.decode()


def parent_of(pid: int) -> int:
    return int(stat(pid)[1])


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return stat(pid)[0] not in "ZX"
    except OSError:
        return False


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; the name before may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
