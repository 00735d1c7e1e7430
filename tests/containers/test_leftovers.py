"""What a killed run leaves is removed by the next one, unless another one still goes on."""

import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.containers import Engine, find_engine
from tests.support.leftover_containers import claim_containers
from vecguard.testing import Images

_PREFIX = "localhost/vecguard-leftover-"
_IMAGE = f"{_PREFIX}etcd:test"
_NETWORKS = "vecguard-leftover-"


@pytest.fixture
def engine() -> Engine:
    engine = find_engine()
    if not engine.is_podman:
        pytest.skip("with docker, testcontainers' own helper removes them")
    return engine


@pytest.fixture
def leftover(engine: Engine, images: Images, tmp_path: Path) -> Iterator[int]:
    """The port that a killed run has published, in a network of its own."""
    engine.run("tag", images.etcd, _IMAGE)
    network = f"{_NETWORKS}{uuid4().hex}"
    engine.run("network", "create", network)
    identity = engine.run(
        *("run", "--detach", "--network", network, "--publish", "127.0.0.1::2379"),
        *(_IMAGE, "sleep", "600"),
    )
    yield int(engine.run("port", identity, "2379").rpartition(":")[2])
    claim_containers(engine.run, _PREFIX, lock=tmp_path / "last").close()
    engine.run("untag", _IMAGE, _IMAGE)


def test_leftovers_are_removed_when_nobody_else_runs_containers(
    engine: Engine, leftover: int, tmp_path: Path
):
    lock = tmp_path / "lock"
    with (
        claim_containers(engine.run, "of nobody", lock=lock),
        claim_containers(engine.run, _PREFIX, lock=lock),
    ):
        assert len(found(engine)) == 2

    with claim_containers(engine.run, _PREFIX, lock=lock):
        assert found(engine) == []
    assert is_ours(leftover)


def found(engine: Engine) -> list[str]:
    """Containers and networks."""
    return [
        *engine.run("ps", "--all", "--quiet", "--filter", f"ancestor={_IMAGE}").split(),
        *engine.run("network", "ls", "--quiet", "--filter", f"name={_NETWORKS}").split(),
    ]


def is_ours(port: int) -> bool:
    """Whether a connection to this port reaches the process that listens there."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(5)
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            accepted, address = listener.accept()
            accepted.close()
            return address == client.getsockname()
