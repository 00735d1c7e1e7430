import shutil
from pathlib import Path

import pytest
import yaml

from tests.deploy import helm
from tests.deploy.manifests import KUSTOMIZE, Manifests, has_renderer
from tests.deploy.site import build_site

OVERLAYS = ("dev", "production", "existing_etcd")
CHARTS = tuple(f"chart_{name}" for name in OVERLAYS)


def _render(name: str, overlay) -> Manifests:
    if not has_renderer():
        pytest.skip("kubectl is not installed; it renders the manifests")
    return Manifests.rendered(overlay)


@pytest.fixture(scope="session")
def dev() -> Manifests:
    return _render("dev", KUSTOMIZE / "overlays" / "dev")


@pytest.fixture(scope="session")
def production() -> Manifests:
    return _render("production", KUSTOMIZE / "overlays" / "production")


@pytest.fixture(scope="session")
def existing_etcd(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    """The production overlay after the one change that docs/kubernetes.md asks for."""
    copy = tmp_path_factory.mktemp("kustomize") / "kustomize"
    shutil.copytree(KUSTOMIZE, copy)
    kustomization = copy / "overlays" / "production" / "kustomization.yaml"
    text = kustomization.read_text()
    line = "  - ../../components/etcd-cluster\n"
    assert line in text
    kustomization.write_text(text.replace(line, "  - ../../components/etcd-existing\n"))
    return _render("existing etcd", copy / "overlays" / "production")


def _chart(values: helm.Values) -> Manifests:
    if not helm.has_helm():
        pytest.skip("helm-python-sdk is not installed; it renders the chart")
    return helm.rendered(values)


@pytest.fixture(scope="session")
def chart_dev() -> Manifests:
    return _chart(yaml.safe_load(helm.DEV.read_text()))


@pytest.fixture(scope="session")
def chart_production() -> Manifests:
    return _chart({})


@pytest.fixture(scope="session")
def chart_existing_etcd() -> Manifests:
    endpoints = [f"etcd-{index}.etcd.etcd:2379" for index in range(3)]
    return _chart({"etcd": {"mode": "existing"}, "config": {"etcd": {"endpoints": endpoints}}})


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> Manifests:
    """Each of the three overlays in turn."""
    found: Manifests = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=(*OVERLAYS, *CHARTS))
def manifests(request: pytest.FixtureRequest) -> Manifests:
    """Each overlay, and then the chart with the same profiles."""
    found: Manifests = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    build_site(folder)
    return folder
