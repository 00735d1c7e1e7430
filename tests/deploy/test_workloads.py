"""Pods, services, probes and budgets fit each other."""

import re
from pathlib import Path

import pytest

from tests.deploy.manifests import Manifests, selects

# What shared/vecguard/observability/operations.py serves, and etcd.
PATHS = {
    "operations": {"/livez", "/readyz", "/readyz?exclude=role"},
    "metrics": {"/health", "/health?serializable=true"},
}
DOCS = Path(__file__).parents[2] / "docs"
OURS = ("vecguard-proxy", "vecguard-root-coord")


def test_selectors_match_their_own_pods_and_no_others(manifests: Manifests) -> None:
    for workload in manifests.workloads:
        selector = workload.item["spec"]["selector"]
        assert [each.name for each in manifests.workloads if selects(selector, each.labels)] == [
            workload.name
        ]


def test_services_lead_to_one_workload_and_an_open_port(manifests: Manifests) -> None:
    for service in manifests.of_kind("Service"):
        spec = service["spec"]
        (target,) = [
            each
            for each in manifests.workloads
            if selects({"matchLabels": spec["selector"]}, each.labels)
        ]
        assert target.name == service["metadata"]["name"].removesuffix("-operations")
        for port in spec["ports"]:
            assert target.port(port["targetPort"]) == port["port"]


def test_stateful_sets_have_the_service_that_gives_their_pods_names(manifests: Manifests) -> None:
    for item in manifests.of_kind("StatefulSet"):
        assert manifests.has("Service", item["spec"]["serviceName"])


@pytest.mark.parametrize(
    "name", ["vecguard-root-coord", "vecguard-proxy-operations", "vecguard-etcd"]
)
def test_names_exist_before_readiness(production: Manifests, name: str) -> None:
    spec = production.named("Service", name)["spec"]
    assert spec["clusterIP"] == "None"
    assert spec["publishNotReadyAddresses"] is True


@pytest.mark.parametrize("page", ["cli.md", "kubernetes.md"])
def test_documented_status_asks_what_answers(production: Manifests, page: str) -> None:
    asked = re.findall(r"-O ([a-z-]+)\.(\w+):(\d+)", (DOCS / page).read_text())
    assert len(asked) == len(OURS)
    for name, namespace, port in asked:
        service = production.named("Service", name)
        assert service["metadata"]["namespace"] == namespace
        # A headless Service has the pods' own addresses, so the port is theirs.
        assert service["spec"]["clusterIP"] == "None"
        assert production.workload(name.removesuffix("-operations")).port("operations") == int(port)


def test_probes_ask_what_is_served(manifests: Manifests) -> None:
    for workload in manifests.workloads:
        for kind, asked in workload.probes:
            if "httpGet" in asked:
                assert asked["httpGet"]["path"] in PATHS[asked["httpGet"]["port"]], kind
            elif "tcpSocket" in asked:
                assert asked["tcpSocket"]["port"] in workload.ports


def test_liveness_asks_only_whether_the_process_answers(manifests: Manifests) -> None:
    for name in OURS:
        asked = dict(manifests.workload(name).probes)
        assert asked["livenessProbe"]["httpGet"]["path"] == "/livez"
        assert asked["startupProbe"]["httpGet"]["path"] == "/livez"


def test_readiness_of_a_proxy_is_its_own_word(manifests: Manifests) -> None:
    asked = dict(manifests.workload("vecguard-proxy").probes)
    assert asked["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_standby_root_coord_counts_as_ready(manifests: Manifests) -> None:
    asked = dict(manifests.workload("vecguard-root-coord").probes)
    assert asked["readinessProbe"]["httpGet"]["path"] == "/readyz?exclude=role"


def test_namespace_demands_restricted_pods(overlay: Manifests) -> None:
    (namespace,) = overlay.of_kind("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_pods_are_restricted(manifests: Manifests) -> None:
    for workload in manifests.workloads:
        pod, container = workload.pod["securityContext"], workload.container["securityContext"]
        assert pod["runAsNonRoot"] is True
        assert pod["runAsUser"] > 0
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["allowPrivilegeEscalation"] is False
        assert container["readOnlyRootFilesystem"] is True
        assert container["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in container
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(workload.pod)
        assert not [each for each in workload.pod.get("volumes", ()) if "hostPath" in each]


def test_pods_get_no_token_of_the_cluster(manifests: Manifests) -> None:
    for workload in manifests.workloads:
        assert workload.pod["automountServiceAccountToken"] is False
        assert manifests.has("ServiceAccount", workload.pod["serviceAccountName"])
    for account in manifests.of_kind("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_pods_say_what_they_need_and_have_an_end_to_memory(manifests: Manifests) -> None:
    for workload in manifests.workloads:
        resources = workload.container["resources"]
        assert set(resources["requests"]) == {"cpu", "memory"}
        # Throttling would delay renewals of a lease.
        assert set(resources["limits"]) == {"memory"}


def test_images_have_a_version(manifests: Manifests) -> None:
    images = {each.name: each.container["image"] for each in manifests.workloads}
    ours = {name: image for name, image in images.items() if name != "vecguard-etcd"}
    assert {image.rpartition(":")[0] for image in ours.values()} == set(ours)
    assert len({image.rpartition(":")[2] for image in ours.values()}) == 1
    assert not [image for image in images.values() if image.endswith(":latest") or ":" not in image]


def test_secrets_are_mounted_whole_and_closed_to_others(manifests: Manifests) -> None:
    for workload in manifests.workloads:
        assert not [each for each in workload.container["volumeMounts"] if "subPath" in each]
        for volume in workload.pod.get("volumes", ()):
            if "secret" in volume:
                assert volume["secret"]["defaultMode"] == 0o440
                assert workload.pod["securityContext"]["fsGroup"] > 0


def test_disruption_budgets_leave_room_and_keep_somebody(production: Manifests) -> None:
    autoscaler = production.named("HorizontalPodAutoscaler", "vecguard-proxy")["spec"]
    replicas = {
        "vecguard-proxy": autoscaler["minReplicas"],
        "vecguard-root-coord": production.workload("vecguard-root-coord").item["spec"]["replicas"],
        "vecguard-etcd": production.workload("vecguard-etcd").item["spec"]["replicas"],
    }
    budgets = production.of_kind("PodDisruptionBudget")
    assert {each["metadata"]["name"] for each in budgets} == set(replicas)
    for budget in budgets:
        name, spec = budget["metadata"]["name"], budget["spec"]
        assert selects(spec["selector"], production.workload(name).labels)
        assert 0 < spec["maxUnavailable"] < replicas[name]
    quorum = replicas["vecguard-etcd"] // 2 + 1
    assert replicas["vecguard-etcd"] - 1 >= quorum


def test_autoscaler_alone_decides_how_many_proxies_there_are(production: Manifests) -> None:
    autoscaler = production.named("HorizontalPodAutoscaler", "vecguard-proxy")["spec"]
    target = autoscaler["scaleTargetRef"]
    assert "replicas" not in production.named(target["kind"], target["name"])["spec"]
    assert autoscaler["minReplicas"] < autoscaler["maxReplicas"]


def test_production_spreads_its_pods_over_nodes_and_zones(production: Manifests) -> None:
    for name in (*OURS, "vecguard-etcd"):
        workload = production.workload(name)
        constraints = workload.pod["topologySpreadConstraints"]
        assert {each["topologyKey"] for each in constraints} == {
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        }
        for each in constraints:
            assert selects(each["labelSelector"], workload.labels)


def test_new_proxy_is_ready_before_an_old_one_goes(manifests: Manifests) -> None:
    strategy = manifests.workload("vecguard-proxy").item["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxSurge": 1, "maxUnavailable": 0}


def test_changed_configuration_restarts_the_pods(dev: Manifests) -> None:
    # A name that ends with a hash of the content: another content is another pod template.
    for item in dev.of_kind("ConfigMap"):
        assert item["metadata"]["name"].rpartition("-")[0] in {
            "vecguard-config",
            "vecguard-environment",
        }
