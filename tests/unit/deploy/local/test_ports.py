import socket
import subprocess
import sys

import pytest

from deploy.local import __main__ as local_stack
from deploy.local import ports as ports_module
from deploy.local.errors import LocalStackError
from deploy.local.ports import Ports, ProxyPorts, free_ports
from deploy.local.stack import CHECKOUT


def test_free_ports_are_distinct_and_pass_the_check():
    ports = Ports.free(proxies=3)

    ports.check_free("127.0.0.1")
    assert len(ports.proxies) == 3


def every_port(ports):
    return {port for _, _, port in ports._uses("127.0.0.1")}


@pytest.mark.parametrize("ports", [Ports(), Ports.free(proxies=2, root_coords=3)])
def test_an_offset_moves_every_port(ports):
    assert every_port(ports.shifted(100)) == {port + 100 for port in every_port(ports)}
    assert ports.shifted(0) == ports


@pytest.mark.parametrize("offset", [-1, 12436, 10**9])
def test_an_offset_out_of_the_range_of_ports_is_refused(offset):
    with pytest.raises(LocalStackError, match="must be a number from 0 to 12435"):
        Ports().shifted(offset)


def test_the_port_of_clients_alone_can_be_another_one():
    ports = Ports().with_proxy_port(1234)
    assert ports.proxies[0] == ProxyPorts(1234, 9091)
    assert every_port(ports) - {1234} == every_port(Ports()) - {19530}


def test_every_busy_port_is_named_with_its_purpose_and_what_to_do():
    ports = Ports.free(root_coords=2)
    for purpose, host, port in ports._uses("127.0.0.1"):
        with socket.create_server((host, port)), pytest.raises(LocalStackError) as caught:
            ports.check_free("127.0.0.1")
        message = caught.value.message
        assert message.startswith(f"port {port} on 127.0.0.1, wanted for {purpose}, is already in")
        option = "--proxy-port NUMBER" if "clients connect" in purpose else "--port-offset 100"
        assert f"; choose others: make run RUN_ARGS='{option}" in message


def test_all_busy_ports_are_named_at_once():
    ports = Ports.free()
    busy = (ports.etcd, ports.proxies[0].public)
    with (
        socket.create_server(("127.0.0.1", busy[0])),
        socket.create_server(("127.0.0.1", busy[1])),
        pytest.raises(LocalStackError) as caught,
    ):
        ports.check_free("127.0.0.1")
    for port in busy:
        assert f"port {port} on " in caught.value.message
    assert caught.value.message.endswith("RUN_ARGS='--port-offset 100 --data-dir data'")


def test_one_port_cannot_serve_two_purposes():
    ports = Ports.free()
    ports = ports.with_proxy_port(ports.backend)

    with pytest.raises(LocalStackError, match=f"port {ports.backend} is wanted for"):
        ports.check_free("127.0.0.1")


def test_every_root_coord_has_its_own_ports():
    ports = Ports.free(proxies=2, root_coords=3)

    ports.check_free("127.0.0.1")
    assert len(ports.proxies) == 2
    assert len(ports.root_coords) == 3
    assert ports.root_coords[0].internal == ports.root_coord


def test_processes_that_choose_at_the_same_time_are_never_given_the_same_port(monkeypatch):
    monkeypatch.setattr(ports_module, "_CHOICE", range(31000, 32000))
    mine = free_ports(100)

    program = (
        "from deploy.local import ports\n"
        "ports._CHOICE = range(31000, 32000)\n"
        "print(*ports.free_ports(100))\n"
    )
    others = subprocess.run(
        (sys.executable, "-c", program), cwd=CHECKOUT, check=True, capture_output=True, text=True
    ).stdout.split()

    assert len(set(mine)) == len(set(others)) == 100
    assert set(map(int, others)).isdisjoint(mine)


def test_a_port_that_something_listens_on_is_not_given(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(ports_module, "_CHOICE", range(port, port + 1))
        with pytest.raises(LocalStackError, match=f"no 1 free ports from {port} to {port}"):
            free_ports(1)


def test_a_stack_at_an_offset_has_its_own_state():
    assert local_stack._data_dir(0) == CHECKOUT / "data"
    assert local_stack._data_dir(100) == CHECKOUT / "data" / "offset-100"
