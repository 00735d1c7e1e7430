"""The overlay and the values of the chart that docs/kubernetes.md shows work."""

import os
import re
import shutil
import textwrap
from pathlib import Path

import pytest
import yaml

from tests.deploy import helm
from tests.deploy.manifests import KUSTOMIZE, Manifests, has_renderer
from tests.deploy.test_settings import load

_LINES = re.MULTILINE | re.DOTALL
DOCS = Path(__file__).parents[2] / "docs" / "kubernetes.md"


def _block(start: str) -> str:
    """The one block of YAML in a list that begins with this text."""
    (block,) = [
        textwrap.dedent(found)
        for found in re.findall(r"^    ```yaml\n(.*?)^    ```$", DOCS.read_text(), _LINES)
        if found.lstrip().startswith(start)
    ]
    return block


@pytest.fixture(scope="module")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    if not has_renderer():
        pytest.skip("kubectl is not installed; it renders the manifests")
    folder = tmp_path_factory.mktemp("overlay")
    # kustomize takes relative paths only.
    ours = os.path.relpath(KUSTOMIZE.resolve(), folder.resolve())
    text = _block("apiVersion: kustomize").replace("deploy/kustomize", ours)
    (folder / "kustomization.yaml").write_text(text)
    return Manifests.rendered(folder)


@pytest.fixture(scope="module")
def chart() -> Manifests:
    if not helm.has_helm():
        pytest.skip("helm-python-sdk is not installed; it renders the chart")
    return helm.rendered(yaml.safe_load(_block("# production.yaml")))


@pytest.fixture(params=["overlay", "chart"])
def manifests(request: pytest.FixtureRequest) -> Manifests:
    found: Manifests = request.getfixturevalue(request.param)
    return found


def test_own_etcd_is_reached_with_a_copied_overlay(tmp_path: Path) -> None:
    if not has_renderer():
        pytest.skip("kubectl is not installed; it renders the manifests")
    copy = tmp_path / "copy"
    shutil.copytree(KUSTOMIZE / "overlays" / "production", copy)
    file = copy / "kustomization.yaml"
    ours = os.path.relpath(KUSTOMIZE.resolve(), copy.resolve())
    file.write_text(
        file.read_text().replace("etcd-cluster", "etcd-existing").replace("../..", ours)
    )
    own = tmp_path / "own"
    own.mkdir()
    (own / "kustomization.yaml").write_text("resources: [../copy]\n" + _block("# added"))
    found = Manifests.rendered(own)
    assert not found.has("StatefulSet", "vecguard-etcd")
    settings = load(found, found.workload("vecguard-root-coord"), tmp_path)
    assert [str(each) for each in settings.etcd.endpoints] == [
        "etcd-0.example.com:2379",
        "etcd-1.example.com:2379",
    ]
    (rule,) = found.named("NetworkPolicy", "root-coord-to-etcd")["spec"]["egress"]
    assert rule["to"] == [{"ipBlock": {"cidr": "10.0.3.0/24"}}]


def test_images_come_from_the_registry(manifests: Manifests) -> None:
    for name in ("vecguard-proxy", "vecguard-root-coord"):
        image = manifests.workload(name).container["image"]
        assert image.startswith(f"registry.example.com/{name}:")


def test_backend_is_reached_and_allowed(manifests: Manifests, tmp_path: Path) -> None:
    settings = load(manifests, manifests.workload("vecguard-proxy"), tmp_path)
    service, _, namespace = settings.backend.address.partition(":")[0].partition(".")
    assert (service, namespace) == ("milvus", "vectors")
    (rule,) = manifests.named("NetworkPolicy", "proxy-to-backend")["spec"]["egress"]
    assert rule["to"] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    ]
    # What the overlay does not name is as it was.
    assert len(settings.root_coord.addresses) == 2


def test_certificate_has_the_name_that_clients_dial(manifests: Manifests) -> None:
    names = manifests.named("Certificate", "vecguard-public")["spec"]["dnsNames"]
    assert {"milvus.example.com", "vecguard-proxy.vecguard"} <= set(names)


def test_values_keep_clients_addresses_and_are_watched(chart: Manifests, tmp_path: Path) -> None:
    service = chart.named("Service", "vecguard-proxy")["spec"]
    assert (service["type"], service["externalTrafficPolicy"]) == ("LoadBalancer", "Local")
    settings = load(chart, chart.workload("vecguard-proxy"), tmp_path)
    assert settings.proxy.connections.max_age == 600
    assert len(chart.of_kind("PodMonitor", "PrometheusRule")) == 3


def test_values_of_gitops_reach_the_backend(tmp_path: Path) -> None:
    if not helm.has_helm():
        pytest.skip("helm-python-sdk is not installed; it renders the chart")
    (block,) = re.findall(
        r"^    (apiVersion: argoproj.*?)^    ```$", DOCS.read_text(), re.MULTILINE | re.DOTALL
    )
    application = yaml.safe_load(textwrap.dedent("    " + block))
    source = application["spec"]["source"]
    assert (helm.ROOT / source["path"]).resolve() == helm.CHART.resolve()
    manifests = helm.rendered(source["helm"]["valuesObject"])
    test_backend_is_reached_and_allowed(manifests, tmp_path)


def test_package_has_the_documented_name(tmp_path: Path) -> None:
    if not helm.has_helm():
        pytest.skip("helm-python-sdk is not installed; it makes the package")
    assert set(re.findall(r"vecguard-[\w.-]+\.tgz", DOCS.read_text())) == {
        helm.package(tmp_path).name
    }


def test_documented_files_exist() -> None:
    files = re.findall(r"\bdeploy/(?:helm|kustomize)[\w./-]*[\w]", DOCS.read_text())
    assert len(files) > 5
    assert not [path for path in files if not (helm.ROOT / path).exists()]
