"""What a stack decides before it asks an engine for anything."""

import io
import socket
import tarfile
import threading

import pytest

from vecguard.testing import Account, Images, StackError, VecguardStack
from vecguard.testing.blueprint import laid_over
from vecguard.testing.deadline import Deadline
from vecguard.testing.filled_container import archive_of
from vecguard.testing.images import names_of


def test_images_are_those_of_make_image_unless_variables_say_otherwise():
    assert Images.from_environment({}).proxy.startswith("vecguard-proxy:")
    variables = {
        "VECGUARD_TESTING_IMAGE_PREFIX": "registry.example.com/team/vecguard-",
        "VECGUARD_TESTING_IMAGE_TAG": "1.2.3",
        "VECGUARD_TESTING_ETCD_IMAGE": "registry.example.com/etcd:3",
    }
    assert Images.from_environment(variables) == Images(
        proxy="registry.example.com/team/vecguard-proxy:1.2.3",
        root_coord="registry.example.com/team/vecguard-root-coord:1.2.3",
        milvus_lite="registry.example.com/team/vecguard-milvus-lite:1.2.3",
        etcd="registry.example.com/etcd:3",
    )


@pytest.mark.parametrize(
    ("image", "names"),
    [
        ("vecguard-proxy:1", ("vecguard-proxy:1", "localhost/vecguard-proxy:1")),
        ("team/proxy:1", ("team/proxy:1", "localhost/team/proxy:1")),
        ("localhost/vecguard-proxy:1", ("localhost/vecguard-proxy:1",)),
        ("registry.example.com/proxy:1", ("registry.example.com/proxy:1",)),
        ("registry:5000/proxy:1", ("registry:5000/proxy:1",)),
    ],
)
def test_image_without_a_host_may_be_one_that_podman_has_built(image: str, names: tuple[str, ...]):
    assert names_of(image) == names


def test_settings_are_laid_over_section_by_section():
    below = {"proxy": {"port": 1, "operations": {"port": 2}}, "log": {"format": "text"}}
    above = {"proxy": {"operations": {"port": 3}}, "cache": {"ttl": 4}}
    assert laid_over(below, above) == {
        "proxy": {"port": 1, "operations": {"port": 3}},
        "log": {"format": "text"},
        "cache": {"ttl": 4},
    }
    assert below["proxy"] == {"port": 1, "operations": {"port": 2}}


def test_password_of_an_account_is_not_printed():
    account = Account("alice", "a good password")
    assert "good" not in repr(account)
    assert account.token == "alice:a good password"
    assert account.metadata == (("authorization", "YWxpY2U6YSBnb29kIHBhc3N3b3Jk"),)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513])
def test_archive_ends_at_its_end_mark(size: int):
    archive = archive_of("/etc/vecguard/file", b"x" * size, 0o444)
    # An end mark is two blocks of zeros.
    assert len(archive) == 512 + (size + 511) // 512 * 512 + 1024
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        (member,) = tar.getmembers()
        assert (member.name, member.mode) == ("etc/vecguard/file", 0o444)
        assert tar.extractfile(member).read() == b"x" * size


def test_wait_ends_when_its_time_is_over_or_somebody_gives_up():
    with pytest.raises(StackError, match="not within 0 s: this"):
        Deadline(0).wait_until(lambda: False, "this")
    given_up = threading.Event()
    given_up.set()
    with pytest.raises(StackError, match="given up"):
        Deadline(60, given_up).wait_until(lambda: False, "this")
    Deadline(0, given_up).wait_until(lambda: True, "this")


@pytest.mark.parametrize("counts", [{"proxies": 0}, {"root_coords": 0}])
def test_stack_needs_one_of_each(counts: dict[str, int]):
    with pytest.raises(StackError, match="at least one"):
        VecguardStack(**counts)


def test_stack_that_was_not_started_can_be_stopped():
    VecguardStack().stop()


def test_engine_that_does_not_answer_is_said_to_be_the_cause(monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as bound:
        # No process listens, and no other process can.
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{bound.getsockname()[1]}")
        with pytest.raises(StackError, match=r"the container engine: .*; start Docker, or"):
            VecguardStack().start()
