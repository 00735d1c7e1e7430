from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.local import configuration
from deploy.local.certificates import LocalCertificates
from deploy.local.errors import LocalStackError
from deploy.local.ports import Ports
from vecguard.config import load_settings
from vecguard.config.security import TlsMode
from vecguard.tls import connections

NOW = datetime.now(UTC)


@pytest.fixture
def certificates(tmp_path: Path) -> LocalCertificates:
    made = LocalCertificates(tmp_path / "certs", TlsMode.MUTUAL)
    made.prepare(NOW)
    return made


def contents(certificates: LocalCertificates) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in certificates.directory.iterdir()}


def test_certificates_are_made_once_and_kept(certificates: LocalCertificates):
    before = contents(certificates)

    certificates.prepare(NOW + timedelta(days=1))

    assert contents(certificates) == before
    assert certificates.warnings == ()


def test_certificates_that_end_soon_are_a_warning_with_the_date(certificates: LocalCertificates):
    certificates.prepare(NOW + timedelta(days=350))

    assert any(
        "server.pem" in each and "expires in 15.0 days" in each for each in certificates.warnings
    )


def test_certificates_that_have_ended_are_refused_with_advice(certificates: LocalCertificates):
    with pytest.raises(LocalStackError, match=r"expired 35\.0 days ago") as caught:
        certificates.prepare(NOW + timedelta(days=400))

    assert "remove the directory to have new ones made" in caught.value.message
    assert str(certificates.directory) in caught.value.message


@pytest.mark.parametrize("name", ["server.pem", "etcd-client.key", "internal-ca.pem"])
def test_a_missing_file_is_named(certificates: LocalCertificates, name: str):
    (certificates.directory / name).unlink()

    with pytest.raises(LocalStackError, match=name):
        certificates.prepare(NOW)


def test_a_file_of_another_set_is_named(certificates: LocalCertificates, tmp_path: Path):
    other = LocalCertificates(tmp_path / "other", TlsMode.MUTUAL)
    other.prepare(NOW)
    (certificates.directory / "ca.pem").write_bytes((other.directory / "ca.pem").read_bytes())

    with pytest.raises(LocalStackError, match="does not lead to a CA"):
        certificates.prepare(NOW)


@pytest.mark.parametrize("mode", [TlsMode.SERVER, TlsMode.MUTUAL])
def test_the_services_take_every_link_from_the_settings(tmp_path: Path, mode: TlsMode):
    certificates = LocalCertificates(tmp_path / "certs", mode)
    certificates.prepare(NOW)
    proxy, root_coord = tmp_path / "proxy.yaml", tmp_path / "root-coord.yaml"
    configuration.write(proxy, certificates.proxy_settings())
    configuration.write(
        root_coord, configuration.root_coord_settings(Ports()), certificates.root_coord_settings()
    )

    outside, inside = load_settings(proxy, {}), load_settings(root_coord, {})

    assert outside.tls_mode is mode
    assert connections.public_listener(outside) is not None
    assert connections.root_coord_client(outside) is not None
    assert connections.root_coord_listener(inside) is not None
    assert connections.etcd_client(inside) is not None
    assert inside.internaltls.allowed_names == ("vecguard-proxy",)
