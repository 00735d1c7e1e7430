import shutil

import pytest

from tests.deploy.manifests import KUSTOMIZE, Manifests, has_renderer


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


@pytest.fixture(params=["dev", "production", "existing_etcd"])
def manifests(request: pytest.FixtureRequest) -> Manifests:
    """Each of the three in turn."""
    found: Manifests = request.getfixturevalue(request.param)
    return found
