"""Both services with the file that docs/index.md shows, on one machine, on their usual ports."""

import re
import sys
import textwrap
from pathlib import Path

from deploy.local.process import Process, Program
from deploy.local.readiness import Probe, http_ok, speaks_http2
from tests.e2e.stacks import clean_environment
from tests.support.etcd import EtcdProcess
from tests.support.etcd import Ports as EtcdPorts
from tests.support.network_namespace import run_in_own_network

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "index.md"
PASSWORD_FILE = "/run/secrets/root-password"


def documented_file(folder: Path) -> Path:
    """The first YAML file of the page, with a password file that a test may write."""
    text = re.findall(r"^ *```yaml\n(.*?)^ *```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)[0]
    assert text.count(PASSWORD_FILE) == 1
    password = folder / "root-password"
    password.write_text("a good password")
    file = folder / "vecguard.yaml"
    file.write_text(textwrap.dedent(text).replace(PASSWORD_FILE, str(password)))
    return file


def documented_backend(folder: Path) -> list[str]:
    """The command that starts Milvus Lite."""
    (command,) = re.findall(r"`milvus-lite (server .*?)`", PAGE.read_text(), re.DOTALL)
    return [sys.executable, "-m", "milvus_lite", *command.replace("my.db", str(folder)).split()]


def process(name: str, *argv: str, ready: Probe) -> Process:
    program = Program(
        name=name,
        argv=argv,
        environment=clean_environment(),
        directory=CHECKOUT,
        ready=ready,
    )
    return Process(program, print)


def service(name: str, file: Path, operations: int) -> Process:
    command = Path(sys.executable).with_name(f"vecguard-{name}")
    return process(name, str(command), "--config", str(file), ready=http_ok(operations, "/readyz"))


def test_the_documented_file_starts_both_services_on_one_machine(tmp_path: Path):
    file = documented_file(tmp_path)
    etcd = EtcdProcess(tmp_path / "etcd", ports=EtcdPorts(2379, 2380, 2381))
    processes = (
        process("backend", *documented_backend(tmp_path / "my.db"), ready=speaks_http2(19540)),
        service("root-coord", file, 9092),
        service("proxy", file, 9091),
    )

    async def all_become_ready() -> None:
        etcd.start()
        try:
            for each in processes:
                await each.start()
                await each.wait_ready()
        finally:
            for each in reversed(processes):
                await each.stop()
            etcd.kill()

    run_in_own_network(all_become_ready)
