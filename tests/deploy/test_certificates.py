"""Certificates have the names and usages that the services look for."""

from pathlib import Path

import pytest

from tests.deploy.manifests import Manifests, Workload
from tests.deploy.test_settings import load


def certificate_in(manifests: Manifests, secret: str):
    (found,) = [
        each["spec"]
        for each in manifests.of_kind("Certificate")
        if each["spec"]["secretName"] == secret
    ]
    return found


def certificate_at(manifests: Manifests, workload: Workload, path: str):
    volume, _ = workload.mounted(path)
    return certificate_in(manifests, volume["secret"]["secretName"])


def test_root_coord_shows_the_name_that_proxies_expect(
    production: Manifests, tmp_path: Path
) -> None:
    root_coord = production.workload("vecguard-root-coord")
    settings = load(production, root_coord, tmp_path)
    shown = certificate_at(production, root_coord, settings.internaltls.server_pem_path)
    assert settings.internaltls.sni in shown["dnsNames"]
    assert "server auth" in shown["usages"]


def test_proxies_show_a_name_that_root_coord_allows(production: Manifests, tmp_path: Path) -> None:
    proxy = production.workload("vecguard-proxy")
    settings = load(production, proxy, tmp_path)
    shown = certificate_at(production, proxy, settings.internaltls.client_pem_path)
    assert set(settings.internaltls.allowed_names) == {shown["commonName"]}
    assert "client auth" in shown["usages"]


def test_root_coord_and_proxies_are_of_one_authority_and_clients_of_another(
    production: Manifests,
) -> None:
    issuers = {
        secret: certificate_in(production, secret)["issuerRef"]["name"]
        for secret in (
            "vecguard-proxy-tls",
            "vecguard-root-coord-tls",
            "vecguard-public-tls",
            "vecguard-etcd-tls",
            "vecguard-root-coord-etcd-tls",
        )
    }
    assert issuers["vecguard-proxy-tls"] == issuers["vecguard-root-coord-tls"]
    assert issuers["vecguard-etcd-tls"] == issuers["vecguard-root-coord-etcd-tls"]
    assert len(set(issuers.values())) == 3


def test_etcd_shows_every_name_that_root_coord_and_members_dial(
    production: Manifests, tmp_path: Path
) -> None:
    settings = load(production, production.workload("vecguard-root-coord"), tmp_path)
    shown = certificate_in(production, "vecguard-etcd-tls")
    names = {address.rpartition(":")[0] for address in settings.etcd.endpoints}
    assert names | {"localhost"} == set(shown["dnsNames"])
    assert {"server auth", "client auth"} <= set(shown["usages"])
    (cluster,) = [
        each.removeprefix("--initial-cluster=")
        for each in production.workload("vecguard-etcd").container["args"]
        if each.startswith("--initial-cluster=")
    ]
    members = dict(member.split("=", 1) for member in cluster.split(","))
    assert members == {name.partition(".")[0]: f"https://{name}:2380" for name in names}


def test_etcdctl_in_a_pod_needs_no_options(production: Manifests) -> None:
    etcd = production.workload("vecguard-etcd")
    variables = production.environment_of(etcd)
    host, _, port = variables["ETCDCTL_ENDPOINTS"].removeprefix("https://").partition(":")
    assert host in certificate_in(production, "vecguard-etcd-tls")["dnsNames"]
    assert int(port) == etcd.port("client")
    arguments = dict(each.split("=", 1) for each in etcd.container["args"] if "=" in each)
    for variable, argument in (
        ("ETCDCTL_CACERT", "--trusted-ca-file"),
        ("ETCDCTL_CERT", "--cert-file"),
        ("ETCDCTL_KEY", "--key-file"),
    ):
        assert variables[variable] == arguments[argument]


def test_etcd_accepts_nobody_without_a_certificate(production: Manifests) -> None:
    arguments = production.workload("vecguard-etcd").container["args"]
    assert {"--client-cert-auth", "--peer-client-cert-auth"} <= set(arguments)
    assert not [each for each in arguments if "http://" in each and "metrics" not in each]


def test_public_certificate_has_the_name_of_the_service(production: Manifests) -> None:
    shown = certificate_in(production, "vecguard-public-tls")
    assert {"vecguard-proxy", "vecguard-proxy.vecguard.svc"} <= set(shown["dnsNames"])
    assert "server auth" in shown["usages"]


@pytest.mark.parametrize("kind", ["Certificate", "Issuer"])
def test_every_issuer_and_authority_exists(production: Manifests, kind: str) -> None:
    secrets = {each["spec"]["secretName"] for each in production.of_kind("Certificate")}
    for item in production.of_kind(kind):
        spec = item["spec"]
        if "issuerRef" in spec:
            assert production.has("Issuer", spec["issuerRef"]["name"])
        if "ca" in spec:
            assert spec["ca"]["secretName"] in secrets


def test_renewal_begins_before_the_warning_about_expiry(production: Manifests) -> None:
    for item in production.of_kind("Certificate"):
        if not item["spec"].get("isCA"):
            assert int(item["spec"]["renewBefore"].removesuffix("h")) > 30 * 24
