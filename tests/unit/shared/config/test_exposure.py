from vecguard.config import Settings
from vecguard.config.exposure import (
    proxy_exposure,
    root_coord_exposure,
    trust_in_every_address,
)


def test_by_default_only_the_public_port_is_open():
    assert "proxy's port" in str(proxy_exposure(Settings()))
    assert root_coord_exposure(Settings()) is None


def test_an_address_of_the_network_opens_root_coords_port():
    everywhere = Settings.model_validate({"rootCoord": {"ip": "0.0.0.0"}})
    assert "root coord's port" in str(root_coord_exposure(everywhere))


def test_tls_or_a_loopback_address_closes_each_port():
    encrypted = Settings.model_validate(
        {
            "common": {"security": {"tlsMode": 1, "internaltlsEnabled": True}},
            "tls": {"serverPemPath": "server.pem", "serverKeyPath": "server.key"},
        }
    )
    local = Settings.model_validate({"proxy": {"ip": "127.0.0.1"}, "rootCoord": {"ip": "::1"}})
    for settings in (encrypted, local):
        assert proxy_exposure(settings) is None
        assert root_coord_exposure(settings) is None


def test_a_trusted_network_of_every_address_is_named():
    trusting = Settings.model_validate(
        {"proxy": {"forwardedFor": {"trusted": ["10.0.0.0/8", "::/0"]}}}
    )
    (found,) = trust_in_every_address(trusting)
    assert str(found).startswith("proxy.forwardedFor.trusted has ::/0, which is every address")
    assert list(trust_in_every_address(Settings())) == []
