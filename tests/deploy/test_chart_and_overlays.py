"""The chart and the overlays are the same objects, one by one."""

import copy
import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.conftest import OVERLAYS
from tests.deploy.manifests import Manifest, Manifests, Workload
from tests.deploy.test_settings import SERVICES, load
from vecguard.config.catalogue import VARIABLE_PREFIX

OF_THE_CHART = ("helm.sh/chart", "app.kubernetes.io/managed-by")
# A ConfigMap of an overlay has a hash in its name; the chart has one in an annotation.
CHECKSUM = "checksum/config"


def described(manifests: Manifests, folder: Path) -> list[str]:
    """Every field of every object as a line, in order; settings as the services load them.

    The overlays have settings in a file and in the environment, the chart has one file.
    """
    lines: list[str] = []
    for item in manifests.items:
        # Helm stores a release in its namespace, so the namespace is there before the chart.
        if item["kind"] not in {"ConfigMap", "Namespace"}:
            name = f"{item['kind']} {item['metadata']['name']}"
            lines += (f"{name}: {field}" for field in _fields(_plain(item)))
    for service in map(manifests.workload, SERVICES):
        settings = load(manifests, service, folder).model_dump(mode="json", by_alias=True)
        lines += (f"settings of {service.name}: {field}" for field in _fields(settings))
    return sorted(lines)


def _plain(item: Manifest) -> dict[str, Any]:
    """Without what only one of the two has."""
    plain = copy.deepcopy(dict(item))
    labels = plain["metadata"].get("labels", {})
    for name in OF_THE_CHART:
        labels.pop(name, None)
    if plain["kind"] in {"Deployment", "StatefulSet"}:
        plain["spec"]["template"]["metadata"].get("annotations", {}).pop(CHECKSUM, None)
    if plain["metadata"]["name"] in SERVICES and plain["kind"] in {"Deployment", "StatefulSet"}:
        container = Workload(plain).container
        container.pop("envFrom", None)
        container["env"] = [
            each for each in container["env"] if not each["name"].startswith(VARIABLE_PREFIX)
        ]
        for volume in Workload(plain).pod["volumes"]:
            if "configMap" in volume:
                volume["configMap"]["name"] = "of vecguard.yaml"
    return plain


def _fields(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _fields(inner, f"{path}.{name}")
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            # Containers, ports, volumes and so on are told apart by their names.
            own = inner.get("name", index) if isinstance(inner, Mapping) else index
            yield from _fields(inner, f"{path}[{own}]")
    elif value not in ({}, None):
        yield f"{path} = {value!r}"


@pytest.mark.parametrize("profile", OVERLAYS)
def test_chart_renders_the_objects_of_the_overlay(
    request: pytest.FixtureRequest, profile: str, tmp_path: Path
) -> None:
    overlay = described(request.getfixturevalue(profile), tmp_path)
    chart = described(request.getfixturevalue(f"chart_{profile}"), tmp_path)
    assert len(overlay) > 500
    difference = list(difflib.unified_diff(overlay, chart, "overlay", "chart", n=0, lineterm=""))
    if difference:
        pytest.fail("\n".join(difference), pytrace=False)


def test_differing_field_is_named(dev: Manifests, chart_dev: Manifests, tmp_path: Path) -> None:
    changed = copy.deepcopy(list(chart_dev.items))
    (service,) = Manifests(changed).named("Service", "vecguard-proxy")["spec"]["ports"]
    service["port"] = 1
    difference = set(described(dev, tmp_path)) ^ set(described(Manifests(changed), tmp_path))
    assert difference == {
        f"Service vecguard-proxy: .spec.ports[grpc].port = {port}" for port in (1, 19530)
    }
