"""The laptop's stack: its settings exist, and its parts find each other."""

import re
from pathlib import Path

import pytest
import yaml

from tests.deploy.test_images import TARGETS
from vecguard.config import Settings, load_settings
from vecguard.config.loading import settings_catalogue

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose"
PROXIES = ("proxy-1", "proxy-2")
OURS = (*PROXIES, "root-coord")


@pytest.fixture
def compose():
    return yaml.safe_load((COMPOSE / "compose.yaml").read_text())


@pytest.mark.parametrize("name", OURS)
def test_environment_loads(compose, name: str) -> None:
    environment = compose["services"][name]["environment"]
    load_settings(None, environment)
    assert all(settings_catalogue().by_variable(variable) for variable in environment)


def test_parts_are_found_under_the_names_of_their_services(compose) -> None:
    services = compose["services"]
    root_coord = load_settings(None, services["root-coord"]["environment"])
    defaults = Settings()
    for name in PROXIES:
        proxy = load_settings(None, services[name]["environment"])
        assert proxy.root_coord.addresses == (f"root-coord:{defaults.root_coord.port}",)
        assert proxy.backend.address == "milvus-lite:19540"
    assert root_coord.etcd.endpoints == ("etcd:2379",)
    assert {"root-coord", "milvus-lite", "etcd"} <= set(services)


def test_our_images_are_targets_of_the_dockerfile(compose) -> None:
    used = {
        found[1]
        for service in compose["services"].values()
        if (found := re.fullmatch(r"\$\{IMAGE_PREFIX:-vecguard-\}([a-z-]+):.*", service["image"]))
    }
    assert used == set(TARGETS) - {"cli"}


def test_every_image_can_be_named_by_a_variable(compose) -> None:
    for service in compose["services"].values():
        assert re.match(r"\$\{(?:IMAGE_PREFIX|[A-Z]+_IMAGE):-", service["image"])


def test_proxies_differ_in_nothing_but_the_published_port(compose) -> None:
    first, second = ({**compose["services"][name]} for name in PROXIES)
    own = Settings().proxy.port
    assert first.pop("ports") == [f"127.0.0.1:{own}:{own}"]
    assert second.pop("ports") == [f"127.0.0.1:{own + 1}:{own}"]
    assert first == second


def test_published_ports_are_for_this_machine_only(compose) -> None:
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_no_password_stands_in_the_file(compose) -> None:
    for service in compose["services"].values():
        for variable in service.get("environment", {}):
            key = settings_catalogue().by_variable(variable)
            assert key is None or not key.secret
            assert "PASSWORD" not in variable


def test_services_get_more_time_to_stop_than_they_take(compose) -> None:
    settings = Settings()

    def grace(name: str) -> int:
        return int(compose["services"][name]["stop_grace_period"].removesuffix("s"))

    assert all(grace(name) > settings.proxy.drain_timeout for name in PROXIES)
    assert grace("root-coord") > 2 * settings.root_coord.drain_timeout


def test_prometheus_asks_the_operations_ports() -> None:
    jobs = yaml.safe_load((COMPOSE / "prometheus.yaml").read_text())["scrape_configs"]
    asked = {job["job_name"]: job["static_configs"][0]["targets"] for job in jobs}
    settings = Settings()
    assert asked == {
        "vecguard-proxy": [f"{name}:{settings.proxy.operations.port}" for name in PROXIES],
        "vecguard-root-coord": [f"root-coord:{settings.root_coord.operations.port}"],
        "etcd": ["etcd:2379"],
    }


def test_mounted_files_of_our_own_exist(compose) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("./"):
                assert (COMPOSE / source).exists(), source
            elif not source.startswith("../"):
                assert source in compose["volumes"]
