import socket
import subprocess
import sys

import pytest

from deploy.local import ports as ports_module
from deploy.local.errors import LocalStackError
from deploy.local.ports import NAMES, Ports, free_ports
from deploy.local.stack import CHECKOUT


def test_free_ports_are_distinct_and_pass_the_check():
    ports = Ports.free(proxies=3)

    ports.check_free("127.0.0.1")
    assert len(ports.proxies) == 3


def test_every_named_port_can_be_changed():
    changes = {name: 40000 + index for index, name in enumerate(NAMES)}

    ports = Ports().with_changes(changes)

    assert sorted(
        [
            ports.etcd,
            ports.etcd_peer,
            ports.root_coord,
            ports.root_coord_operations,
            ports.backend,
            ports.proxies[0].public,
            ports.proxies[0].operations,
        ]
    ) == sorted(changes.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_busy_port_is_named_with_purpose_and_option(name: str):
    with socket.create_server(("127.0.0.1", 0)) as server:
        busy = server.getsockname()[1]
        ports = Ports.free().with_changes({name: busy})

        with pytest.raises(LocalStackError) as caught:
            ports.check_free("127.0.0.1")

    assert str(busy) in caught.value.message
    assert NAMES[name] in caught.value.message
    assert f"--port {name}=" in caught.value.message


def test_all_busy_ports_are_named_at_once():
    here = ("127.0.0.1", 0)
    with socket.create_server(here) as one, socket.create_server(here) as two:
        busy = {"etcd": one.getsockname()[1], "proxy": two.getsockname()[1]}
        ports = Ports.free().with_changes(busy)

        with pytest.raises(LocalStackError) as caught:
            ports.check_free("127.0.0.1")

    for port in busy.values():
        assert f"port {port} on " in caught.value.message
    assert caught.value.message.endswith(
        "choose others: make run RUN_ARGS='--port proxy=NUMBER --port etcd=NUMBER'"
    )


def test_one_port_cannot_serve_two_purposes():
    ports = Ports.free()
    ports = ports.with_changes({"etcd": ports.backend})

    with pytest.raises(LocalStackError, match=f"port {ports.backend} is wanted for"):
        ports.check_free("127.0.0.1")


def test_every_root_coord_has_its_own_ports():
    ports = Ports.free(proxies=2, root_coords=3)

    ports.check_free("127.0.0.1")
    assert len(ports.proxies) == 2
    assert len(ports.root_coords) == 3
    assert ports.root_coords[0].internal == ports.root_coord


def test_a_busy_port_of_a_standby_is_named():
    ports = Ports.free(root_coords=2)
    with (
        socket.create_server(("127.0.0.1", ports.root_coords[1].internal)),
        pytest.raises(LocalStackError, match="root coord, which proxies connect to"),
    ):
        ports.check_free("127.0.0.1")


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
