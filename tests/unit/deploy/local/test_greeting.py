import shlex
from pathlib import Path

import pytest

from deploy.local.greeting import greeting
from deploy.local.ports import Ports
from deploy.local.stack import LocalStack
from services.cli.operations import addresses_of


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
