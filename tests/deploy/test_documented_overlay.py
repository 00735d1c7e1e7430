"""The overlay that docs/kubernetes.md shows works."""

import os
import re
import textwrap
from pathlib import Path

import pytest

from tests.deploy.manifests import KUSTOMIZE, Manifests, has_renderer
from tests.deploy.test_settings import load

DOCS = Path(__file__).parents[2] / "docs" / "kubernetes.md"


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    if not has_renderer():
        pytest.skip("kubectl is not installed; it renders the manifests")
    (block,) = re.findall(
        r"^    ```yaml\n(.*?)^    ```$", DOCS.read_text(), re.MULTILINE | re.DOTALL
    )
    folder = tmp_path_factory.mktemp("overlay")
    # kustomize takes relative paths only.
    ours = os.path.relpath(KUSTOMIZE.resolve(), folder.resolve())
    overlay = textwrap.dedent(block).replace("deploy/kustomize", ours)
    (folder / "kustomization.yaml").write_text(overlay)
    return Manifests.rendered(folder)


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
