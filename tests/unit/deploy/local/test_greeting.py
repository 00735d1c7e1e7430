import shlex
import sys
from pathlib import Path

import pytest

from deploy.local.greeting import greeting
from deploy.local.ports import Ports
from deploy.local.stack import CHECKOUT, LocalStack
from vecguard.cli.operations import addresses_of
from vecguard.config.security import TlsMode


@pytest.mark.parametrize("ports", [Ports(), Ports.free(proxies=2, root_coords=2)])
def test_the_banner_has_a_status_line_that_asks_every_process(tmp_path: Path, ports: Ports):
    stack = LocalStack(tmp_path, ports=ports)
    (line,) = (line for line in greeting(stack) if " status " in line)
    command, name, *options = shlex.split(line)
    assert Path(command).name == "vecguard"
    assert name == "status"
    assert set(options[::2]) == {"-O"}
    assert [str(address) for address in addresses_of(options[1::2])] == [
        process.operations_address for process in (*stack.proxies, *stack.root_coords)
    ]


@pytest.mark.parametrize("data_dir", [CHECKOUT / "data", Path("/var/lib/my stack")])
def test_the_banner_has_a_line_that_resets_the_password_in_the_stack_s_own_etcd(data_dir: Path):
    stack = LocalStack(data_dir, ports=Ports())
    (line,) = (line for line in greeting(stack) if " root reset " in line)
    *command, config = shlex.split(line)
    assert command[1:] == ["root", "reset", "--offline", "--config"]
    assert CHECKOUT / config == stack.root_coord_configuration
    assert stack.root_coord_configuration == data_dir / "config" / "root-coord.yaml"


def test_the_banner_names_a_database_that_is_served_in_place(tmp_path: Path):
    stack = LocalStack(tmp_path / "data", backend_data=tmp_path / "my.db", ports=Ports())
    assert f"database          {tmp_path / 'my.db'} (served in place)" in greeting(stack)
    assert not [line for line in greeting(LocalStack(tmp_path)) if "served in place" in line]


@pytest.mark.parametrize("tls", TlsMode)
def test_the_banner_fits_80_columns(tls: TlsMode):
    stack = LocalStack(CHECKOUT / "data", ports=Ports().shifted(10000), tls=tls)
    # Where the checkout is, and which environment runs the tests, is of no matter.
    own = {str(Path(sys.executable).parent): ".venv/bin", str(CHECKOUT): "/src/vecguard"}
    lines = greeting(stack)
    for long, short in own.items():
        lines = [line.replace(long, short) for line in lines]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("tls", TlsMode)
def test_the_example_of_the_banner_is_code_without_a_frame(tls: TlsMode):
    lines = greeting(LocalStack(Path("/srv/data"), ports=Ports(), tls=tls))
    start = lines.index("from pymilvus import MilvusClient")
    compile("\n".join(lines[start : lines.index("", start)]), "banner", "exec")


def test_the_banner_names_the_pages_of_a_proxy_and_of_each_root_coord(tmp_path: Path):
    stack = LocalStack(tmp_path, ports=Ports.free(proxies=2, root_coords=2))
    pages = [line for line in greeting(stack) if line.endswith(")") and "http://" in line]
    processes = (stack.proxies[0], *stack.root_coords)
    assert [line.split()[-2] for line in pages[:3]] == [
        f"http://{process.operations_address}/" for process in processes
    ]
    assert max(map(len, pages[:3])) <= 80
