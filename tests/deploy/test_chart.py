"""What the chart makes of values other than those of its profiles."""

import copy
import json
import os
import re
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy.helm import alerts, readme, schema
from tests.deploy import helm
from tests.deploy.manifests import KUSTOMIZE, Manifests, has_renderer, selects
from tests.deploy.test_schemas import FOREIGN
from tests.deploy.test_settings import SERVICES, load
from vecguard.config import Settings
from vecguard.config.loading import settings_catalogue

pytestmark = pytest.mark.skipif(
    not helm.has_helm(), reason="helm-python-sdk is not installed; it renders the chart"
)

VALUES = yaml.safe_load((helm.CHART / "values.yaml").read_text())
SCHEMA = json.loads(schema.TARGET.read_text())
ALERTS = helm.ROOT / "deploy" / "prometheus" / "alerts.yml"
# Maps that are Kubernetes's or the user's.
FREE = ("#/$defs/map", "#/$defs/free")
DIGEST = "sha256:" + 64 * "a"
#: All Secrets are there already: cert-manager and etcd's members make none.
OWN_SECRETS = {
    "rootPassword": {"existingSecret": "own-root", "key": "first"},
    "tls": {
        "public": {"existingSecret": "own-public"},
        "clientCA": {"existingSecret": "own-clients"},
        "internal": {
            "proxy": {"existingSecret": "own-proxy"},
            "rootCoord": {"existingSecret": "own-root-coord"},
        },
    },
    "etcd": {
        "mode": "existing",
        "auth": {"existingSecret": "own-etcd-login"},
        "tls": {"existingSecret": "own-etcd"},
    },
    "backend": {"tls": {"existingSecret": "own-backend", "clientCertificate": True}},
    "config": {
        "etcd": {"endpoints": ["etcd.example.com:2390"]},
        "common": {"security": {"tlsMode": 2}},
    },
}
POD = {
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "vecguard", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "priorityClassName": "important",
    "podLabels": {"team": "search"},
    "podAnnotations": {"sidecar.istio.io/inject": "false"},
    "extraEnv": [{"name": "VECGUARD__LOG__LEVEL", "value": "debug"}],
}
VOLUMES = {
    "extraVolumes": [{"name": "audit", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "audit", "mountPath": "/var/log/vecguard"}],
}


def merged(*parts: helm.Values) -> dict[str, Any]:
    """As Helm merges several files of values."""
    found: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            old = found.get(name)
            both = isinstance(value, dict) and isinstance(old, dict)
            found[name] = merged(old, value) if both else copy.deepcopy(value)
    return found


def changed(dotted: str, value: Any) -> dict[str, Any]:
    for name in reversed(dotted.split(".")):
        value = {name: value}
    return dict(value)


def settings_of(values: helm.Values, service: str, folder: Path) -> Settings:
    manifests = helm.rendered(values)
    return load(manifests, manifests.workload(service), folder)


def objects_in(part: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema of an object below this one, with its path."""
    if isinstance(part, dict):
        if part.get("type") == "object":
            yield path, part
        for name, inner in part.items():
            yield from objects_in(inner, f"{path}/{name}")


def test_generated_files_are_current() -> None:
    assert schema.TARGET.read_text() == schema.text()
    assert readme.TARGET.read_text() == readme.text()
    assert alerts.CHART_TARGET.read_text() == alerts.copied()
    assert alerts.KUSTOMIZE_TARGET.read_text() == alerts.rule()


@pytest.mark.parametrize("values", [{}, yaml.safe_load(helm.DEV.read_text()), OWN_SECRETS])
def test_helm_lint_finds_nothing(values: helm.Values) -> None:
    assert helm.findings(values) == []


def test_helm_lint_finds_a_wrong_value() -> None:
    assert helm.findings({"proxy": {"replicas": "three"}})


def test_schema_has_just_the_values_that_there_are() -> None:
    def compare(part: dict[str, Any], values: Any, path: str) -> None:
        if "$ref" in part:
            if part["$ref"] in FREE or path == ".config":
                return
            part = SCHEMA["$defs"][part["$ref"].removeprefix("#/$defs/")]
        if part.get("type") == "object" and path != ".tls.public.issuerRef":
            assert set(part["properties"]) - {"global"} == set(values), path
            for name, value in values.items():
                compare(part["properties"][name], value, f"{path}.{name}")

    compare(SCHEMA, VALUES, "")


def test_schema_refuses_unknown_keys_everywhere() -> None:
    free = {"/properties/global", "/$defs/map", "/$defs/free", "/$defs/objects/items"}
    open_ = {
        path for path, part in objects_in(SCHEMA) if part.get("additionalProperties") is not False
    }
    roles = "/$defs/config/properties/proxy/properties/methodRoles"
    assert open_ == free | {roles}


@pytest.mark.parametrize(
    "path", ["prxy", "proxy.replica", "proxy.image.name", "tls.public.secret", "config.proxy.prt"]
)
def test_unknown_key_is_refused_by_name(path: str) -> None:
    with pytest.raises(helm.RefusedError, match=re.escape(f"'{path.rpartition('.')[2]}'")):
        helm.rendered(changed(path, 1))


@pytest.mark.parametrize(
    ("path", "value"),
    [("config.proxy.port", 70000), ("config.revocation", "lax"), ("proxy.replicas", "3")],
)
def test_value_of_the_wrong_kind_is_refused(path: str, value: Any) -> None:
    with pytest.raises(helm.RefusedError, match=path.replace(".", "/")):
        helm.rendered(changed(path, value))


def test_every_setting_reaches_the_services(tmp_path: Path) -> None:
    config: dict[str, Any] = {}
    for key in settings_catalogue().keys.values():
        if not key.secret and key.default is not None:
            default = list(key.default) if isinstance(key.default, tuple) else key.default
            config = merged(config, changed(key.dotted, default))
    own = {"tlsMode": 0, "defaultRootPasswordFile": ""}
    config = merged(config, changed("common.security", own))
    config["proxy"]["http2"]["maxBuffered"] = 2**40  # no number is written as 1.0e+12
    values = {"config": config, "rootPassword": {"existingSecret": ""}}
    config["rootCoord"]["advertisedAddress"] = "root-coord.example.com:53100"
    for service in SERVICES:
        found = settings_of(values, service, tmp_path).model_dump(by_alias=True, mode="json")
        for key in settings_catalogue().keys.values():
            wanted, at = config, found
            for name in key.path[:-1]:
                wanted, at = wanted.get(name, {}), at[name]
            if not key.secret and key.path[-1] in wanted:
                assert at[key.path[-1]] == wanted[key.path[-1]], key.dotted


@pytest.mark.parametrize(
    "key", [key.dotted for key in settings_catalogue().keys.values() if key.secret]
)
def test_secret_setting_is_no_part_of_the_config_map(key: str) -> None:
    with pytest.raises(helm.RefusedError, match="not allowed"):
        helm.rendered(changed(f"config.{key}", "hunter22"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("common.security.internaltlsEnabled", False),
        ("common.security.tlsMode", 0),
        ("tls.caPemPath", ""),
        ("internaltls.allowedNames", []),
        ("rootCoord.addresses", ["root-coord.example.com:53100"]),
    ],
)
def test_setting_overrides_what_the_chart_adds(key: str, value: Any, tmp_path: Path) -> None:
    settings = settings_of({"config": changed(key, value)}, "vecguard-proxy", tmp_path)
    found: Any = settings.model_dump(by_alias=True, mode="json")
    for name in key.split("."):
        found = found[name]
    assert found == value


def test_setting_overrides_what_an_image_has_in_its_environment(tmp_path: Path) -> None:
    dockerfile = (helm.ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    image = dict(re.findall(r"\b(VECGUARD__\w+)=(\S+)", dockerfile))
    keys = [settings_catalogue().by_variable(name) for name in image]
    assert len(keys) > 2
    own = merged(*(changed(key.dotted, "192.0.2.1") for key in keys if key))
    manifests = helm.rendered({"config": own})
    for service in map(manifests.workload, SERVICES):
        environment = image | manifests.environment_of(service)
        assert {environment[name] for name in image} == {"192.0.2.1"}


def test_ports_of_objects_follow_the_settings() -> None:
    config = {
        "proxy": {"port": 2000, "operations": {"port": 2001}, "drainTimeout": 90.5},
        "rootCoord": {"port": 2002, "operations": {"port": 2003}},
        "backend": {"address": "[2001:db8::1]:2004"},
    }
    manifests = helm.rendered({"config": config, "proxy": {"service": {"port": 443}}})
    text = json.dumps(manifests.items)
    assert not re.findall(r"\b(?:19530|9091|9092|53100)\b", text)
    assert manifests.workload("vecguard-proxy").ports == {"grpc": 2000, "operations": 2001}
    assert manifests.workload("vecguard-proxy").pod["terminationGracePeriodSeconds"] == 121
    (port,) = manifests.named("Service", "vecguard-proxy")["spec"]["ports"]
    assert port["port"] == 443
    (rule,) = manifests.named("NetworkPolicy", "proxy-to-backend")["spec"]["egress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 2004}]


def test_existing_secrets_are_used_and_nothing_makes_others(tmp_path: Path) -> None:
    manifests = helm.rendered(OWN_SECRETS)
    assert not manifests.of_kind("Certificate", "Issuer", "Secret")
    assert not manifests.has("StatefulSet", "vecguard-etcd")
    used = set(re.findall(r'"secretName": "([a-z-]+)"', json.dumps(manifests.items)))
    assert used == {
        *("own-root", "own-public", "own-clients", "own-proxy"),
        *("own-root-coord", "own-etcd", "own-backend"),
    }
    proxy, root_coord = map(manifests.workload, SERVICES)
    settings = load(manifests, proxy, tmp_path)
    for path, secret in (
        (settings.tls.server_pem_path, "own-public"),
        (settings.tls.ca_pem_path, "own-clients"),
        (settings.internaltls.client_pem_path, "own-proxy"),
        (settings.backend.tls.ca_pem_path, "own-backend"),
        (settings.backend.tls.client_key_path, "own-backend"),
    ):
        assert proxy.mounted(path)[0]["secret"]["secretName"] == secret
    assert settings.backend.tls.enabled
    settings = load(manifests, root_coord, tmp_path)
    password = settings.common.security.default_root_password_file
    for path, secret in (
        (settings.internaltls.server_pem_path, "own-root-coord"),
        (settings.etcd.ssl.tls_cert, "own-etcd"),
        (password, "own-root"),
    ):
        assert root_coord.mounted(path)[0]["secret"]["secretName"] == secret
    assert password.endswith("/first")


def test_login_at_etcd_comes_from_a_secret_and_only_to_root_coord() -> None:
    manifests = helm.rendered(OWN_SECRETS)
    proxy, root_coord = map(manifests.workload, SERVICES)
    keys = {
        each["name"]: each["valueFrom"]["secretKeyRef"]
        for each in root_coord.container["env"]
        if "secretKeyRef" in each.get("valueFrom", {})
    }
    assert keys == {
        "VECGUARD__ETCD__AUTH__USERNAME": {"name": "own-etcd-login", "key": "username"},
        "VECGUARD__ETCD__AUTH__PASSWORD": {"name": "own-etcd-login", "key": "password"},
    }
    assert all(settings_catalogue().by_variable(name) for name in keys)
    assert "own-etcd-login" not in json.dumps(proxy.item)


@pytest.mark.parametrize("endpoints", [["a:2390", "b:2390", "c:2391"], "a:2390, b:2391"])
def test_existing_etcd_is_let_through_at_its_own_ports(endpoints: object) -> None:
    values = merged(OWN_SECRETS, changed("config.etcd.endpoints", endpoints))
    (rule,) = helm.rendered(values).named("NetworkPolicy", "root-coord-to-etcd")["spec"]["egress"]
    assert [each["port"] for each in rule["ports"]] == [2390, 2391]


@pytest.mark.parametrize("roles", ["reader", ["reader", "writer"]])
def test_roles_of_methods_are_a_list_or_a_text(roles: object, tmp_path: Path) -> None:
    methods = {"/qdrant.Points/Search": roles}
    values = changed("config.proxy.methodRoles", methods)
    found = settings_of(values, "vecguard-proxy", tmp_path).proxy.method_roles
    assert found["/qdrant.Points/Search"] == tuple([roles] if isinstance(roles, str) else roles)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (changed("tls.internal.proxy.existingSecret", "own"), "or none"),
        (changed("etcd.tls.existingSecret", "own"), "or none"),
        (changed("etcd.mode", "existing"), "set config.etcd.endpoints"),
    ],
)
def test_incomplete_values_are_refused_with_what_to_do(values: helm.Values, words: str) -> None:
    with pytest.raises(helm.RefusedError, match=words):
        helm.rendered(values)


def test_shared_namespace_is_refused_because_the_policies_would_close_it() -> None:
    with pytest.raises(helm.RefusedError, match="--namespace vecguard"):
        helm.rendered(namespace="default")
    without = {"networkPolicies": {"enabled": False}}
    manifests = helm.rendered(without, namespace="default")
    assert not manifests.of_kind("NetworkPolicy")
    names = manifests.named("Certificate", "vecguard-public")["spec"]["dnsNames"]
    assert "vecguard-proxy.default.svc" in names
    assert {item["metadata"]["namespace"] for item in manifests.items} == {"default"}


def test_images_come_from_where_the_values_say() -> None:
    values = {
        "imageRegistry": "registry.example.com/vecguard",
        "imagePullSecrets": [{"name": "registry"}],
        "proxy": {"image": {"digest": DIGEST, "pullPolicy": "Always"}},
        "rootCoord": {"image": {"registry": "mirror.example.com", "tag": "1.2.3"}},
    }
    manifests = helm.rendered(values)
    images = {each.name: each.container["image"] for each in manifests.workloads}
    assert images == {
        "vecguard-proxy": f"registry.example.com/vecguard/vecguard-proxy@{DIGEST}",
        "vecguard-root-coord": "mirror.example.com/vecguard-root-coord:1.2.3",
        "vecguard-etcd": "quay.io/coreos/etcd:v3.5.28",
    }
    assert manifests.workload("vecguard-proxy").container["imagePullPolicy"] == "Always"
    for each in manifests.workloads:
        assert each.pod["imagePullSecrets"] == [{"name": "registry"}]


@pytest.fixture(scope="module")
def adapted() -> Manifests:
    """With every option of pods, Services and objects."""
    return helm.rendered(
        {
            "commonLabels": {"owner": "search"},
            "commonAnnotations": {"example.com/owner": "search"},
            "proxy": {
                **POD,
                **VOLUMES,
                "autoscaling": {"enabled": False},
                "replicas": 5,
                "disruptionBudget": {"maxUnavailable": "25%"},
                "service": {
                    "type": "LoadBalancer",
                    "nodePort": 30000,
                    "externalTrafficPolicy": "Local",
                    "loadBalancerClass": "example.com/fast",
                    "loadBalancerSourceRanges": ["10.0.0.0/8"],
                    "ipFamilyPolicy": "PreferDualStack",
                    "labels": {"public": "yes"},
                    "annotations": {"example.com/load-balancer": "internal"},
                },
                "serviceAccount": {"name": "own", "create": False},
            },
            "rootCoord": {
                **POD,
                **VOLUMES,
                "replicas": 3,
                "serviceAccount": {"annotations": {"example.com/role": "r"}},
            },
            "etcd": {**POD, "storage": {"size": "20Gi", "storageClassName": "fast"}},
            "networkPolicies": {"clients": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
            "monitoring": {
                "labels": {"release": "prometheus"},
                "podMonitor": {"enabled": True, "interval": "15s"},
                "prometheusRule": {
                    "enabled": True,
                    "runbookUrl": "https://docs.example.com/runbooks.html",
                },
            },
        }
    )


def test_adapted_objects_fit_the_schemas(adapted: Manifests) -> None:
    for item in adapted.items:
        if item["kind"] not in FOREIGN:
            kubernetes_validate.validate(item, "1.37", strict=True)


@pytest.mark.parametrize("name", ["vecguard-proxy", "vecguard-root-coord", "vecguard-etcd"])
def test_options_of_pods_reach_them(adapted: Manifests, name: str) -> None:
    workload = adapted.workload(name)
    for option in ("nodeSelector", "tolerations", "affinity", "priorityClassName"):
        assert workload.pod[option] == POD[option]
    metadata = workload.item["spec"]["template"]["metadata"]
    assert metadata["labels"].items() >= POD["podLabels"].items()
    assert metadata["annotations"].items() >= POD["podAnnotations"].items()
    assert POD["extraEnv"][0] in workload.container["env"]
    if name in SERVICES:
        assert VOLUMES["extraVolumes"][0] in workload.pod["volumes"]
        assert VOLUMES["extraVolumeMounts"][0] in workload.container["volumeMounts"]


def test_environment_overrides_the_file(adapted: Manifests, tmp_path: Path) -> None:
    assert load(adapted, adapted.workload("vecguard-proxy"), tmp_path).log.level == "debug"


def test_options_of_objects_reach_them(adapted: Manifests, tmp_path: Path) -> None:
    service = adapted.named("Service", "vecguard-proxy")
    assert service["metadata"]["labels"]["public"] == "yes"
    assert service["metadata"]["annotations"]["example.com/load-balancer"] == "internal"
    spec = service["spec"]
    assert (spec["type"], spec["externalTrafficPolicy"]) == ("LoadBalancer", "Local")
    assert spec["loadBalancerClass"] == "example.com/fast"
    assert spec["loadBalancerSourceRanges"] == ["10.0.0.0/8"]
    assert spec["ipFamilyPolicy"] == "PreferDualStack"
    assert spec["ports"][0]["nodePort"] == 30000
    assert adapted.workload("vecguard-proxy").item["spec"]["replicas"] == 5
    assert not adapted.of_kind("HorizontalPodAutoscaler")
    budget = adapted.named("PodDisruptionBudget", "vecguard-proxy")["spec"]
    assert budget["maxUnavailable"] == "25%"
    assert not adapted.has("ServiceAccount", "own")
    assert adapted.workload("vecguard-proxy").pod["serviceAccountName"] == "own"
    account = adapted.named("ServiceAccount", "vecguard-root-coord")
    assert account["metadata"]["annotations"]["example.com/role"] == "r"
    (claim,) = adapted.workload("vecguard-etcd").item["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi"
    (rule,) = adapted.named("NetworkPolicy", "clients-to-proxy")["spec"]["ingress"]
    assert rule["from"] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
    settings = load(adapted, adapted.workload("vecguard-proxy"), tmp_path)
    assert len(settings.root_coord.addresses) == 3
    for item in adapted.items:
        assert item["metadata"]["labels"]["owner"] == "search"
        assert item["metadata"]["annotations"]["example.com/owner"] == "search"


@pytest.mark.parametrize("peers", ["backend", "etcd", "metrics", "dns"])
def test_empty_list_of_peers_opens_nothing(peers: str) -> None:
    values = {
        "etcd": {"mode": "existing"},
        "config": {"etcd": {"endpoints": ["etcd.etcd:2379"]}},
        "networkPolicies": {peers: []},
    }
    policies = [each for each in helm.rendered(values).items if each["kind"] == "NetworkPolicy"]
    rules = [
        rule
        for policy in policies
        for way in ("ingress", "egress")
        for rule in policy["spec"].get(way, [])
    ]
    assert rules
    # An empty list means every peer to Kubernetes.
    assert not [rule for rule in rules if rule.get("from") == [] or rule.get("to") == []]
    assert not [rule for rule in rules if "from" in rule and rule["from"] is None]


def test_changed_setting_restarts_the_pods(chart_production: Manifests) -> None:
    other = helm.rendered({"config": {"log": {"level": "debug"}}})
    for name in SERVICES:
        first, second = (
            each.workload(name).item["spec"]["template"]["metadata"]["annotations"]
            for each in (chart_production, other)
        )
        assert first["checksum/config"] != second["checksum/config"]


def test_monitoring_is_off_unless_asked_for(chart_production: Manifests) -> None:
    assert not chart_production.of_kind("PodMonitor", "PrometheusRule")


@pytest.fixture(scope="module")
def component(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    """The production overlay with the component for the Prometheus Operator."""
    if not has_renderer():
        pytest.skip("kubectl is not installed; it renders the manifests")
    folder = tmp_path_factory.mktemp("overlay")
    # kustomize takes relative paths only.
    ours = os.path.relpath(KUSTOMIZE.resolve(), folder.resolve())
    kustomization = {
        "namespace": "vecguard",
        "resources": [f"{ours}/overlays/production"],
        "components": [f"{ours}/components/prometheus-operator"],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return Manifests.rendered(folder)


def test_chart_and_component_have_the_same_objects_for_the_operator(component: Manifests) -> None:
    kinds = ("PodMonitor", "PrometheusRule")
    monitoring = {"podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
    chart, overlay = (
        {(item["kind"], item["metadata"]["name"]): item["spec"] for item in each.of_kind(*kinds)}
        for each in (helm.rendered({"monitoring": monitoring}), component)
    )
    assert len(chart) == 3
    assert chart == overlay


def test_alerts_of_the_operator_are_those_of_prometheus(component: Manifests) -> None:
    rule = component.named("PrometheusRule", "vecguard")
    assert rule["spec"] == yaml.safe_load(ALERTS.read_text())


def test_operator_reads_the_operations_ports_under_the_jobs_of_the_alerts(
    component: Manifests,
) -> None:
    jobs = re.search(r'job=~"([^"]+)"', ALERTS.read_text())
    assert jobs
    monitors = component.of_kind("PodMonitor")
    assert {each["metadata"]["name"] for each in monitors} == set(SERVICES)
    for monitor in monitors:
        spec = monitor["spec"]
        assert [
            each.name for each in component.workloads if selects(spec["selector"], each.labels)
        ] == [monitor["metadata"]["name"]]
        (endpoint,) = spec["podMetricsEndpoints"]
        assert endpoint["port"] in component.workload(monitor["metadata"]["name"]).ports
        (relabeling,) = endpoint["relabelings"]
        assert relabeling["targetLabel"] == "job"
        assert re.fullmatch(jobs[1], relabeling["replacement"])


def test_objects_for_the_operator_are_adapted(adapted: Manifests) -> None:
    for item in adapted.of_kind("PodMonitor", "PrometheusRule"):
        assert item["metadata"]["labels"]["release"] == "prometheus"
    for monitor in adapted.of_kind("PodMonitor"):
        assert monitor["spec"]["podMetricsEndpoints"][0]["interval"] == "15s"
    (group,) = adapted.named("PrometheusRule", "vecguard")["spec"]["groups"]
    for rule in group["rules"]:
        assert rule["annotations"]["runbook_url"] == (
            f"https://docs.example.com/runbooks.html#{rule['alert'].lower()}"
        )


def test_chart_has_the_version_of_the_package() -> None:
    metadata = yaml.safe_load((helm.CHART / "Chart.yaml").read_text())
    version = tomllib.loads((helm.ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert metadata["appVersion"] == version
    # Semantic versioning separates what PEP 440 does not.
    assert metadata["version"] == version.replace(".dev", "-dev.")


def test_package_has_all_that_the_chart_needs(tmp_path: Path) -> None:
    with tarfile.open(helm.package(tmp_path)) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    there = {str(path.relative_to(helm.CHART)) for path in helm.CHART.rglob("*") if path.is_file()}
    assert packed - {""} == there


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "waits for the Secret vecguard-root-password"),
        (changed("rootPassword.existingSecret", ""), "change it at once"),
        ({}, "connect to https://vecguard-proxy"),
        (changed("tls.enabled", False), "common.security.tlsMode is 0"),
        (changed("tls.enabled", False), "common.security.internaltlsEnabled is false"),
        (changed("tls.enabled", False), "connect to http://vecguard-proxy"),
        (changed("config.common.security.tlsMode", 0), "common.security.tlsMode is 0"),
        (changed("config.common.security.tlsMode", 0), "connect to http://vecguard-proxy"),
        (
            changed("config.common.security.internaltlsEnabled", False),
            "common.security.internaltlsEnabled is false",
        ),
        (
            changed("config.common.security.authorizationEnabled", False),
            "Every call passes without a login",
        ),
    ],
)
def test_notes_say_what_is_left_to_do(values: helm.Values, words: str) -> None:
    assert words in helm.notes(values)


def test_notes_of_the_defaults_warn_of_nothing() -> None:
    assert "is 0" not in helm.notes()
    assert "is false" not in helm.notes()
