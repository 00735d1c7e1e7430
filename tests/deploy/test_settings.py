"""The manifests' configuration, loaded as the services load it."""

from pathlib import Path

import pytest

from tests.deploy.manifests import Manifests, Workload
from vecguard.config import Settings, load_settings
from vecguard.config.catalogue import VARIABLE_PREFIX
from vecguard.config.loading import settings_catalogue
from vecguard.config.security import TlsMode
from vecguard.lifecycle import CONFIG_VARIABLE

SERVICES = ("vecguard-proxy", "vecguard-root-coord")


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest, manifests: Manifests) -> Workload:
    return manifests.workload(request.param)


def load(manifests: Manifests, service: Workload, folder: Path) -> Settings:
    environment = manifests.environment_of(service)
    path = folder / "vecguard.yaml"
    path.write_text(manifests.file_of(service, environment[CONFIG_VARIABLE]))
    return load_settings(path, environment)


def test_configuration_loads(manifests: Manifests, service: Workload, tmp_path: Path) -> None:
    load(manifests, service, tmp_path)


def test_every_variable_is_a_setting(manifests: Manifests, service: Workload) -> None:
    for variable in manifests.environment_of(service):
        if variable != CONFIG_VARIABLE:
            assert variable.startswith(VARIABLE_PREFIX)
            assert settings_catalogue().by_variable(variable) is not None, variable


def test_container_ports_are_those_that_are_listened_on(
    manifests: Manifests, tmp_path: Path
) -> None:
    proxy, root_coord = map(manifests.workload, SERVICES)
    settings = load(manifests, proxy, tmp_path)
    assert proxy.ports == {
        "grpc": settings.proxy.port,
        "operations": settings.proxy.operations.port,
    }
    settings = load(manifests, root_coord, tmp_path)
    assert root_coord.ports == {
        "grpc": settings.root_coord.port,
        "operations": settings.root_coord.operations.port,
    }


def test_prometheus_is_sent_to_the_operations_port(manifests: Manifests) -> None:
    for workload in map(manifests.workload, SERVICES):
        annotations = workload.item["spec"]["template"]["metadata"]["annotations"]
        assert annotations["prometheus.io/port"] == str(workload.ports["operations"])


def test_proxies_know_every_root_coord(manifests: Manifests, tmp_path: Path) -> None:
    proxy, root_coord = map(manifests.workload, SERVICES)
    spec, port = root_coord.item["spec"], root_coord.ports["grpc"]
    assert set(load(manifests, proxy, tmp_path).root_coord.addresses) == {
        f"{root_coord.name}-{index}.{spec['serviceName']}:{port}"
        for index in range(spec["replicas"])
    }


def test_root_coords_are_told_of_by_the_addresses_that_proxies_have(
    manifests: Manifests, tmp_path: Path
) -> None:
    proxy, root_coord = map(manifests.workload, SERVICES)
    names = {
        each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"]
        for each in root_coord.container["env"]
        if "valueFrom" in each
    }
    assert names == {"POD_NAME": "metadata.name"}
    # Kubernetes puts in only what stands further up.
    assert [each["name"] for each in root_coord.container["env"]].index("POD_NAME") < [
        "$(POD_NAME)" in each.get("value", "") for each in root_coord.container["env"]
    ].index(True)
    told = load(manifests, root_coord, tmp_path).root_coord.advertised_address
    assert set(load(manifests, proxy, tmp_path).root_coord.addresses) == {
        told.replace("$(POD_NAME)", f"{root_coord.name}-{index}")
        for index in range(root_coord.item["spec"]["replicas"])
    }


@pytest.mark.parametrize("overlay", ["dev", "production"])
def test_root_coord_knows_every_etcd(
    request: pytest.FixtureRequest, overlay: str, tmp_path: Path
) -> None:
    manifests: Manifests = request.getfixturevalue(overlay)
    etcd = manifests.workload("vecguard-etcd")
    settings = load(manifests, manifests.workload("vecguard-root-coord"), tmp_path)
    assert set(settings.etcd.endpoints) == {
        f"{etcd.name}-{index}.{etcd.item['spec']['serviceName']}:{etcd.ports['client']}"
        for index in range(etcd.item["spec"]["replicas"])
    }


def test_development_backend_is_the_milvus_lite_service(dev: Manifests, tmp_path: Path) -> None:
    settings = load(dev, dev.workload("vecguard-proxy"), tmp_path)
    (port,) = dev.named("Service", "vecguard-milvus-lite")["spec"]["ports"]
    assert settings.backend.address == f"vecguard-milvus-lite:{port['port']}"


def test_pods_get_more_time_to_stop_than_the_service_takes(
    manifests: Manifests, tmp_path: Path
) -> None:
    proxy, root_coord = map(manifests.workload, SERVICES)
    before = proxy.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    settings = load(manifests, proxy, tmp_path)
    assert proxy.pod["terminationGracePeriodSeconds"] > before + settings.proxy.drain_timeout
    # Handing over, and then draining.
    assert root_coord.pod["terminationGracePeriodSeconds"] > 2 * settings.root_coord.drain_timeout


def test_every_file_of_a_service_is_mounted(
    manifests: Manifests, service: Workload, tmp_path: Path
) -> None:
    needed = {"vecguard-proxy": ("tls.", "internaltls."), "vecguard-root-coord": ("internaltls.",)}
    for key in settings_catalogue().keys.values():
        value = manifests.environment_of(service).get(key.variable, "")
        own = key.dotted.startswith(needed[service.name]) or (
            service.name == "vecguard-root-coord" and key.dotted.startswith("etcd.ssl.")
        )
        if own and value.startswith("/"):
            volume, name = service.mounted(value)
            assert volume["secret"]["secretName"]
            assert name in {"tls.crt", "tls.key", "ca.crt"}


@pytest.mark.parametrize("overlay", ["production", "existing_etcd"])
def test_production_encrypts_every_link_of_its_own(
    request: pytest.FixtureRequest, overlay: str, tmp_path: Path
) -> None:
    manifests: Manifests = request.getfixturevalue(overlay)
    settings = load(manifests, manifests.workload("vecguard-root-coord"), tmp_path)
    assert settings.tls_mode is not TlsMode.OFF
    assert settings.common.security.internaltls_enabled
    assert settings.etcd.ssl.enabled


def test_root_gets_its_first_password_from_a_secret(production: Manifests, tmp_path: Path) -> None:
    root_coord = production.workload("vecguard-root-coord")
    settings = load(production, root_coord, tmp_path)
    volume, name = root_coord.mounted(settings.common.security.default_root_password_file)
    assert volume["secret"]["secretName"] == "vecguard-root-password"
    assert name == "password"
    assert not production.of_kind("Secret")


def test_authentication_is_on_everywhere(
    manifests: Manifests, service: Workload, tmp_path: Path
) -> None:
    settings = load(manifests, service, tmp_path)
    assert settings.common.security.authorization_enabled
    assert settings.revocation == "strict"
