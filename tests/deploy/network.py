"""Which connections a set of NetworkPolicies lets through, decided as Kubernetes would."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.deploy.manifests import Manifests, selects


@dataclass(frozen=True)
class Pod:
    """One end of a connection.

    Attributes:
        labels: of the pod.
        namespace: labels of its namespace; None for the one that the policies are in.
    """

    labels: Mapping[str, str]
    namespace: Mapping[str, str] | None = None


class Network:
    """The policies of one namespace. Ports are TCP unless said."""

    def __init__(self, manifests: Manifests) -> None:
        self._policies = [each["spec"] for each in manifests.of_kind("NetworkPolicy")]

    def allows(self, source: Pod, target: Pod, port: int, protocol: str = "TCP") -> bool:
        """Whether both ends let this connection through."""
        return self.sends(source, target, port, protocol) and self.accepts(
            target, source, port, protocol
        )

    def sends(self, source: Pod, target: Pod, port: int, protocol: str = "TCP") -> bool:
        """Whether the policies of the source's end alone let it through."""
        return self._lets("Egress", source, target, port, protocol)

    def accepts(self, target: Pod, source: Pod, port: int, protocol: str = "TCP") -> bool:
        """Whether the policies of the target's end alone let it through."""
        return self._lets("Ingress", target, source, port, protocol)

    def _lets(self, direction: str, own: Pod, other: Pod, port: int, protocol: str) -> bool:
        if own.namespace is not None:
            return True  # other namespaces' policies are not ours
        key, ends = ("egress", "to") if direction == "Egress" else ("ingress", "from")
        rules: list[Mapping[str, Any]] = []
        isolated = False
        for policy in self._policies:
            if direction in policy["policyTypes"] and selects(policy["podSelector"], own.labels):
                isolated = True
                rules += policy.get(key, ())
        return not isolated or any(
            _has_peer(rule.get(ends), other) and _has_port(rule.get("ports"), port, protocol)
            for rule in rules
        )


def _has_peer(peers: Sequence[Mapping[str, Any]] | None, other: Pod) -> bool:
    return not peers or any(_is_peer(peer, other) for peer in peers)


def _is_peer(peer: Mapping[str, Any], other: Pod) -> bool:
    if "namespaceSelector" in peer:
        if other.namespace is None or not selects(peer["namespaceSelector"], other.namespace):
            return False
    elif other.namespace is not None:
        return False
    return selects(peer.get("podSelector", {}), other.labels)


def _has_port(ports: Sequence[Mapping[str, Any]] | None, port: int, protocol: str) -> bool:
    return not ports or any(
        each["port"] == port and each.get("protocol", "TCP") == protocol for each in ports
    )


def edges(network: Network, pods: Mapping[str, Pod], ports: Sequence[int]) -> Iterator[str]:
    """Every connection that is let through, as `proxy -> root-coord:53100`."""
    for source_name, source in pods.items():
        for target_name, target in pods.items():
            for port in ports:
                inside = source.namespace is None or target.namespace is None
                if inside and network.allows(source, target, port):
                    yield f"{source_name} -> {target_name}:{port}"
