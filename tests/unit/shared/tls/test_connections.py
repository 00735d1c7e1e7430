import ssl
from datetime import UTC, datetime

import pytest
import yaml

from vecguard.config import load_settings
from vecguard.errors import ConfigurationError
from vecguard.tls import connections
from vecguard.tls.certificate_set import SetRequest, make_set, write_files

LINKS = [
    connections.public_listener,
    connections.root_coord_listener,
    connections.root_coord_client,
    connections.backend_client,
    connections.etcd_client,
]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    directory = tmp_path_factory.mktemp("certificates")
    write_files(directory, make_set(SetRequest(), datetime.now(UTC)))
    return directory


@pytest.fixture
def settings(tmp_path, certificates):
    def make(**sections):
        text = yaml.safe_dump(sections).replace("@", f"{certificates}/")
        path = tmp_path / "vecguard.yaml"
        path.write_text(text)
        return load_settings(path, {})

    return make


PUBLIC = {"serverPemPath": "@server.pem", "serverKeyPath": "@server.key", "caPemPath": "@ca.pem"}
INTERNAL = {
    "serverPemPath": "@internal-server.pem",
    "serverKeyPath": "@internal-server.key",
    "clientPemPath": "@internal-client.pem",
    "clientKeyPath": "@internal-client.key",
    "caPemPath": "@internal-ca.pem",
    "sni": "vecguard-root-coord",
}
INTERNAL_ON = {"security": {"internaltlsEnabled": True}}


@pytest.mark.parametrize("link", LINKS)
def test_every_link_is_plain_unless_it_is_configured(settings, link):
    assert link(settings()) is None


def test_mode_1_asks_nobody_for_a_certificate(settings):
    tls = connections.public_listener(settings(common={"security": {"tlsMode": 1}}, tls=PUBLIC))
    assert tls.current().verify_mode is ssl.CERT_NONE
    assert tls.material.authorities == ()


@pytest.mark.parametrize("security", [{"tlsMode": 2}, {"tlsEnabled": True}])
def test_mode_2_requires_a_certificate(settings, security):
    tls = connections.public_listener(settings(common={"security": security}, tls=PUBLIC))
    assert tls.current().verify_mode is ssl.CERT_REQUIRED


def test_the_link_to_root_coord_is_mutual_and_tls_1_3_on_both_ends(settings):
    effective = settings(common=INTERNAL_ON, internaltls=INTERNAL)
    listener = connections.root_coord_listener(effective)
    client = connections.root_coord_client(effective)
    assert listener.current().verify_mode is ssl.CERT_REQUIRED
    assert client.material.chain
    assert client.server_name == "vecguard-root-coord"
    for end in (listener, client):
        assert end.current().minimum_version is ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize("missing", ["serverPemPath", "serverKeyPath", "caPemPath"])
def test_a_setting_that_is_missing_is_named(settings, missing):
    internal = {name: path for name, path in INTERNAL.items() if name != missing}
    with pytest.raises(ConfigurationError, match=rf"internaltls\.{missing}"):
        connections.root_coord_listener(settings(common=INTERNAL_ON, internaltls=internal))


def test_the_backend_may_be_one_way_or_mutual(settings):
    one_way = {"enabled": True, "caPemPath": "@ca.pem", "serverName": "milvus"}
    tls = connections.backend_client(settings(backend={"tls": one_way}))
    assert (tls.material.chain, tls.server_name) == ((), "milvus")
    mutual = one_way | {"clientPemPath": "@client.pem", "clientKeyPath": "@client.key"}
    assert connections.backend_client(settings(backend={"tls": mutual})).material.chain


@pytest.mark.parametrize(
    ("asked", "minimum"),
    [
        ("1.0", ssl.TLSVersion.TLSv1_2),
        ("1.2", ssl.TLSVersion.TLSv1_2),
        ("1.3", ssl.TLSVersion.TLSv1_3),
    ],
)
def test_etcd_is_reached_with_its_certificate_and_version(settings, asked, minimum):
    etcd = {
        "enabled": True,
        "tlsCert": "@etcd-client.pem",
        "tlsKey": "@etcd-client.key",
        "tlsCACert": "@internal-ca.pem",
        "tlsMinVersion": asked,
    }
    tls = connections.etcd_client(settings(etcd={"ssl": etcd}))
    assert tls.material.chain
    assert tls.current().minimum_version is minimum


def test_an_unusable_file_is_named_with_its_setting(settings):
    ssl_section = {"enabled": True, "tlsCACert": "@etcd-client.key"}
    with pytest.raises(ConfigurationError, match=r"etcd\.ssl\.tlsCACert: .*etcd-client\.key"):
        connections.etcd_client(settings(etcd={"ssl": ssl_section}))
