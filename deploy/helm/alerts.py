"""The alerts of deploy/prometheus where Helm and kustomize find them."""

from pathlib import Path
from typing import Final

import yaml

_DEPLOY: Final = Path(__file__).parents[1]
_SOURCE: Final = _DEPLOY / "prometheus" / "alerts.yml"
CHART_TARGET: Final = _DEPLOY / "helm" / "vecguard" / "files" / "alerts.yml"
KUSTOMIZE_TARGET: Final = (
    _DEPLOY / "kustomize" / "components" / "prometheus-operator" / "alerts.yaml"
)
_GENERATED: Final = "# Generated from deploy/prometheus/alerts.yml by `make docs`.\n"


def copied() -> str:
    """The same file for the chart, which reads only files of its own folder."""
    return _GENERATED + _SOURCE.read_text()


def rule() -> str:
    """A PrometheusRule, the object by which the Prometheus Operator gets alerts."""
    item = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "vecguard"},
        "spec": yaml.safe_load(_SOURCE.read_text()),
    }
    return _GENERATED + yaml.safe_dump(item, sort_keys=False, width=1000)
