"""The laptop's stack as deploy/compose has it, started and stopped for real."""

import json
import os
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import yaml

from tests.containers.calls import OK, REFUSED, calling
from tests.containers.compose_project import Project, compose_command
from tests.support.containers import CHECKOUT, build_prometheus, find_engine
from vecguard.testing import Account, Images
from vecguard.testing.accounts import PublicPort
from vecguard.testing.deadline import Deadline

COMPOSE = CHECKOUT / "deploy" / "compose" / "compose.yaml"
ALERTS = CHECKOUT / "deploy" / "prometheus" / "alerts.yml"
SERVICES = ("etcd", "milvus-lite", "root-coord", "proxy-1", "proxy-2", "prometheus")
# Grafana's image comes from a registry only.
LEFT_OUT = {"grafana"}
TARGETS = ("proxy-1:9091", "proxy-2:9091", "root-coord:9092", "etcd:2379")
#: From the first scrape on, which Prometheus spreads over one interval.
_SCRAPE_SECONDS = 20.0
_READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    address: str


@pytest.fixture
def project(images: Images, tmp_path: Path) -> Iterator[Project]:
    engine = find_engine()
    override = tmp_path / "override.yaml"
    # Any free port of this machine in place of ports that another program may use.
    ports = {"proxy-1": 19530, "proxy-2": 19530, "prometheus": 9090}
    lines = ["services:", f"  etcd: {{image: '{images.etcd}'}}"]
    lines += [
        f"  {name}: {{ports: !override ['127.0.0.1::{port}']}}" for name, port in ports.items()
    ]
    prometheus = build_prometheus()
    if prometheus is not None:
        lines[-1] = lines[-1].replace("{ports", f"{{image: '{prometheus}', ports")
    override.write_text("\n".join(lines) + "\n")
    prefix, _, tag = images.proxy.partition("proxy:")
    project = Project(
        name=f"vecguard-test-{os.getpid()}",
        engine=engine,
        command=compose_command(engine),
        files=(COMPOSE, override),
        environment={**engine.environment, "IMAGE_PREFIX": prefix, "IMAGE_TAG": tag},
    )
    try:
        yield project
    finally:
        if project.left():
            project.compose("down", "--volumes", "--timeout", "1")


def test_two_proxies_are_one_and_watched_and_end_well(project: Project) -> None:
    project.compose("up", "--detach", *SERVICES)
    proxies = [ProxyAddress(project.published(name, 19530)) for name in ("proxy-1", "proxy-2")]

    root, changed = Account("root", "Milvus"), Account("root", "another password")
    for proxy in proxies:
        until(lambda proxy=proxy: answer(proxy, root) is OK, f"root logs in at {proxy.address}")
    PublicPort(proxies[0].address, None).change_password(
        root, "root", root.password, changed.password
    )
    assert [answer(proxy, root) for proxy in proxies] == [REFUSED, REFUSED]
    assert [answer(proxy, changed) for proxy in proxies] == [OK, OK]

    prometheus = project.published("prometheus", 9090)
    until(lambda: every_target_is_up(prometheus), "every target is scraped", _SCRAPE_SECONDS)
    groups = ask(prometheus, "/api/v1/rules")["groups"]
    loaded = {rule["name"] for group in groups for rule in group["rules"]}
    written = yaml.safe_load(ALERTS.read_text())["groups"]
    assert loaded == {rule["alert"] for group in written for rule in group["rules"]}

    project.compose("stop", *SERVICES)
    assert project.exit_codes() == dict.fromkeys(SERVICES, 0)
    project.compose("down", "--volumes")
    assert project.left() == []


def test_every_service_but_one_is_started_here() -> None:
    assert set(yaml.safe_load(COMPOSE.read_text())["services"]) == {*SERVICES, *LEFT_OUT}


def every_target_is_up(prometheus: str) -> bool:
    targets = ask(prometheus, "/api/v1/targets")["activeTargets"]
    health = {each["labels"]["instance"]: each["health"] for each in targets}
    return health == dict.fromkeys(TARGETS, "up")


def ask(prometheus: str, path: str) -> dict:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{prometheus}{path}", timeout=10) as answer:
        found = json.load(answer)
    assert found["status"] == "success"
    return found["data"]


def answer(proxy: ProxyAddress, account: Account) -> grpc.StatusCode:
    with calling(proxy) as caller:
        return caller.answer(account)


def until(condition: Callable[[], bool], what: str, seconds: float = _READY_SECONDS) -> None:
    Deadline(seconds).wait_until(condition, what)
