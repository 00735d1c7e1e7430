"""Every manifest is what the Kubernetes API takes, for the oldest version and a new one."""

import pytest

from tests.deploy.manifests import Manifests

kubernetes_validate = pytest.importorskip(
    "kubernetes_validate", reason="kubernetes-validate is not installed; it has the schemas"
)

# Kinds of cert-manager and of the Prometheus Operator: their schemas come with them.
FOREIGN = {"Certificate", "Issuer", "PodMonitor", "PrometheusRule"}


@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_manifests_fit_the_schemas(manifests: Manifests, version: str) -> None:
    checked = 0
    for item in manifests.items:
        if item["kind"] in FOREIGN:
            continue
        kubernetes_validate.validate(item, version, strict=True)
        checked += 1
    assert checked >= 15


def test_unknown_field_does_not_fit_the_schemas(dev: Manifests) -> None:
    service = {**dev.named("Service", "vecguard-proxy"), "spek": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service, "1.37", strict=True)
