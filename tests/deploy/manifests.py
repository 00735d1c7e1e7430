"""Kubernetes manifests as kubectl renders them."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

KUSTOMIZE = Path(__file__).parents[2] / "deploy" / "kustomize"
_RENDER_SECONDS = 60

Manifest = Mapping[str, Any]


def has_renderer() -> bool:
    return shutil.which("kubectl") is not None


@dataclass(frozen=True)
class Manifests:
    """Everything that one overlay renders to."""

    items: Sequence[Manifest]

    @classmethod
    def rendered(cls, overlay: Path) -> "Manifests":
        done = subprocess.run(
            ("kubectl", "kustomize", str(overlay)),
            capture_output=True,
            text=True,
            timeout=_RENDER_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return cls([item for item in yaml.safe_load_all(done.stdout) if item])

    def of_kind(self, *kinds: str) -> list[Manifest]:
        return [item for item in self.items if item["kind"] in kinds]

    def named(self, kind: str, name: str) -> Manifest:
        (found,) = [item for item in self.of_kind(kind) if item["metadata"]["name"] == name]
        return found

    def has(self, kind: str, name: str) -> bool:
        return any(item["metadata"]["name"] == name for item in self.of_kind(kind))

    @property
    def workloads(self) -> list["Workload"]:
        return [Workload(item) for item in self.of_kind("Deployment", "StatefulSet")]

    def workload(self, name: str) -> "Workload":
        (found,) = [each for each in self.workloads if each.name == name]
        return found

    def environment_of(self, workload: "Workload") -> dict[str, str]:
        """What the container's process finds in its environment."""
        found: dict[str, str] = {}
        for source in workload.container.get("envFrom", ()):
            found |= self.named("ConfigMap", source["configMapRef"]["name"])["data"]
        for variable in workload.container.get("env", ()):
            if "value" in variable:
                found[variable["name"]] = variable["value"]
            elif "secretKeyRef" in variable["valueFrom"]:
                found[variable["name"]] = "of a Secret"
        return found

    def file_of(self, workload: "Workload", path: str) -> str:
        """A file that a mounted ConfigMap holds."""
        volume, name = workload.mounted(path)
        data = self.named("ConfigMap", volume["configMap"]["name"])["data"]
        text = data[name]
        assert isinstance(text, str)
        return text


@dataclass(frozen=True)
class Workload:
    """A Deployment or StatefulSet with one container."""

    item: Manifest

    @property
    def name(self) -> str:
        return str(self.item["metadata"]["name"])

    @property
    def labels(self) -> Mapping[str, str]:
        labels: Mapping[str, str] = self.item["spec"]["template"]["metadata"]["labels"]
        return labels

    @property
    def pod(self) -> Manifest:
        pod: Manifest = self.item["spec"]["template"]["spec"]
        return pod

    @property
    def container(self) -> Manifest:
        (container,) = self.pod["containers"]
        found: Manifest = container
        return found

    @property
    def ports(self) -> dict[str, int]:
        return {each["name"]: each["containerPort"] for each in self.container["ports"]}

    @property
    def probes(self) -> Iterator[tuple[str, Manifest]]:
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            if kind in self.container:
                yield kind, self.container[kind]

    def port(self, port: str | int) -> int:
        return self.ports[port] if isinstance(port, str) else port

    def mounted(self, path: str) -> tuple[Manifest, str]:
        """The volume that holds this path, and the path inside it."""
        for mount in self.container.get("volumeMounts", ()):
            directory = mount["mountPath"].rstrip("/") + "/"
            if path.startswith(directory):
                (volume,) = [
                    each for each in self.pod.get("volumes", ()) if each["name"] == mount["name"]
                ]
                return volume, path.removeprefix(directory)
        raise AssertionError(f"{self.name} mounts nothing at {path}")


def selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; the empty one matches everything."""
    wanted = selector.get("matchLabels", {})
    if any(labels.get(name) != value for name, value in wanted.items()):
        return False
    for expression in selector.get("matchExpressions", ()):
        assert expression["operator"] == "In"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True
