"""Helm without its program: PyPI's helm-python-sdk, which has Helm's own Go code as a library.

`python -m tests.deploy.helm` answers one request for each line, as JSON, until its standard input
ends. The library stays in this process of its own: Go's runtime brings threads, signal handlers and
memory that other tests would notice. All requests of a test run go to one process, since a start
takes longer than all of them.
"""

import atexit
import functools
import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.manifests import Manifests

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "vecguard"
DEV = CHART / "profiles" / "dev.yaml"
_SECONDS = 60
_WARNING = 2

Values = Mapping[str, Any]


def has_helm() -> bool:
    return importlib.util.find_spec("helm_python") is not None


class RefusedError(Exception):
    """Helm refuses the values."""


def rendered(values: Values | None = None, *, namespace: str = "vecguard") -> Manifests:
    """What `helm template` prints. Raises RefusedError."""
    answer = _ask(do="render", values=values or {}, namespace=namespace)
    texts = [text for path, text in answer.items() if path.endswith(".yaml")]
    return Manifests([item for text in texts for item in yaml.safe_load_all(text) if item])


def notes(values: Values | None = None) -> str:
    """What `helm install` prints at its end."""
    answer = _ask(do="render", values=values or {}, namespace="vecguard")
    (text,) = [text for path, text in answer.items() if path.endswith("NOTES.txt")]
    return str(text)


def findings(values: Values) -> list[str]:
    """The warnings and errors of `helm lint`."""
    found = _ask(do="lint", values=values, namespace="vecguard")
    return [each["error"] for each in found["messages"] if each["severity"] >= _WARNING]


def package(destination: Path) -> Path:
    """The archive that `helm package` makes."""
    return Path(_ask(do="package", destination=str(destination)))


def _ask(**request: Any) -> Any:
    helm = _process()
    assert helm.stdin is not None
    assert helm.stdout is not None
    print(json.dumps(request), file=helm.stdin, flush=True)
    answer = json.loads(helm.stdout.readline())
    if "refused" in answer:
        raise RefusedError(answer["refused"])
    return answer["done"]


@functools.cache
def _process() -> subprocess.Popen[str]:
    helm = subprocess.Popen(
        (sys.executable, "-m", "tests.deploy.helm"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    atexit.register(helm.communicate, timeout=_SECONDS)
    return helm


def _main() -> None:
    helm = importlib.import_module("helm_python")
    for line in sys.stdin:
        try:
            answer = {"done": _done(helm, json.loads(line))}
        except helm.HelmError as error:
            answer = {"refused": str(error)}
        print(json.dumps(answer), flush=True)


def _done(helm: Any, request: Values) -> Any:
    if request["do"] == "package":
        return helm.package(CHART, destination=request["destination"])
    values, namespace = request["values"], request["namespace"]
    if request["do"] == "lint":
        return helm.lint(CHART, values, strict=True, namespace=namespace)
    with helm.Chart.load(CHART) as chart:
        return chart.render(values, name="vecguard", namespace=namespace)


if __name__ == "__main__":
    _main()
