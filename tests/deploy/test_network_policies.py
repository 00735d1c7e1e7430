"""The policies let through what the picture in the README has, and nothing else."""

import pytest

from tests.deploy.manifests import Manifests
from tests.deploy.network import Network, Pod, edges

PORTS = (53, 2379, 2380, 2381, 9091, 9092, 19530, 19540, 53100)
DNS = Pod({"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"})


def world(manifests: Manifests, **others: Pod) -> dict[str, Pod]:
    own = {each.name.removeprefix("vecguard-"): Pod(each.labels) for each in manifests.workloads}
    return own | {
        "stray": Pod({"app": "stray"}),
        "client": Pod({}, {"kubernetes.io/metadata.name": "shop"}),
        "prometheus": Pod(
            {}, {"kubernetes.io/metadata.name": "monitoring", "vecguard/metrics": "allowed"}
        ),
        **others,
    }


def connections(manifests: Manifests, **others: Pod) -> set[str]:
    return set(edges(Network(manifests), world(manifests, **others), PORTS))


# Of our own namespace's pods none has a client; the public port is open to all that can leave.
COMMON = {
    "client -> proxy:19530",
    "prometheus -> proxy:19530",
    "prometheus -> proxy:9091",
    "prometheus -> root-coord:9092",
    "proxy -> root-coord:53100",
}


def test_development_lets_exactly_its_own_links_through(dev: Manifests) -> None:
    assert connections(dev) == COMMON | {
        "root-coord -> etcd:2379",
        "proxy -> milvus-lite:19540",
        "prometheus -> etcd:2381",
    }


def test_production_lets_exactly_its_own_links_through(production: Manifests) -> None:
    milvus = Pod({}, {"kubernetes.io/metadata.name": "milvus"})
    assert connections(production, milvus=milvus) == COMMON | {
        "root-coord -> etcd:2379",
        "etcd -> etcd:2380",
        "prometheus -> etcd:2381",
        "proxy -> milvus:19530",
        "milvus -> proxy:19530",
    }


def test_existing_etcd_is_reached_by_root_coord_only(existing_etcd: Manifests) -> None:
    etcd = Pod({}, {"kubernetes.io/metadata.name": "etcd"})
    assert connections(existing_etcd, etcd=etcd) == COMMON | {
        "root-coord -> etcd:2379",
        "etcd -> proxy:19530",
    }


@pytest.mark.parametrize("overlay", ["dev", "production"])
def test_either_end_alone_closes_the_way_to_root_coord_and_etcd(
    request: pytest.FixtureRequest, overlay: str
) -> None:
    manifests: Manifests = request.getfixturevalue(overlay)
    network, pods = Network(manifests), world(manifests)
    for target, port, source in (("root-coord", 53100, "proxy"), ("etcd", 2379, "root-coord")):
        accepted = {name for name in pods if network.accepts(pods[target], pods[name], port)}
        assert accepted == {source}
        own = {name: pod for name, pod in pods.items() if pod.namespace is None}
        sent = {name for name in own if network.sends(own[name], pods[target], port)}
        assert sent == {source}


@pytest.mark.parametrize("protocol", ["UDP", "TCP"])
def test_every_pod_may_ask_for_names(manifests: Manifests, protocol: str) -> None:
    network = Network(manifests)
    for each in manifests.workloads:
        assert network.allows(Pod(each.labels), DNS, 53, protocol)
        assert not network.allows(Pod(each.labels), DNS, 443, protocol)
