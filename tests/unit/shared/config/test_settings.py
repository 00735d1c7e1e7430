"""The models: defaults, immutability, and what does not go together."""

import copy

import pytest
from pydantic import ValidationError

from deploy.local.ports import Ports
from vecguard.cli.operations import DEFAULT_OPERATIONS
from vecguard.config import Settings, TlsMode
from vecguard.config.security import SecuritySettings
from vecguard.errors import ConfigurationError
from vecguard.secret import Secret
from vecguard.testing import Proxy, RootCoord


def tls(**security):
    files = {"serverPemPath": "s.pem", "serverKeyPath": "s.key"}
    ca = security.pop("ca", "")
    return Settings.model_validate(
        {"common": {"security": security}, "tls": files | {"caPemPath": ca}}
    )


def test_defaults_are_valid_and_authorization_is_on():
    settings = Settings()
    assert settings.common.security.authorization_enabled
    assert settings.common.security.default_root_password == Secret("Milvus")
    assert settings.proxy.port == 19530
    assert settings.root_coord.addresses == ("localhost:53100",)
    assert settings.proxy.grpc.server_max_recv_size == 256 * 1024 * 1024
    assert settings.revocation == "strict"
    assert settings.tls_mode is TlsMode.OFF


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Settings().proxy.port = 1  # type: ignore[misc]  # the point of the test


def test_secrets_are_not_in_any_text_of_the_settings():
    settings = Settings.model_validate({"etcd": {"auth": {"password": "hunter2"}}})
    assert settings.etcd.auth.password.reveal() == "hunter2"
    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert "hunter2" not in text
        assert "<redacted>" in text


def test_pydantics_own_error_does_not_quote_what_it_found():
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"etcd": {"auth": {"pasword": "hunter2", "password": ["hunter2"]}}})
    assert "hunter2" not in str(caught.value)


def test_a_secret_made_in_code_is_taken_as_it_is():
    secret = Secret("x")
    assert SecuritySettings(default_root_password=secret).default_root_password is secret


@pytest.mark.parametrize(
    ("security", "mode"),
    [
        ({}, TlsMode.OFF),
        ({"tlsMode": 1}, TlsMode.SERVER),
        ({"tlsMode": 2, "ca": "ca.pem"}, TlsMode.MUTUAL),
        ({"tlsEnabled": True}, TlsMode.SERVER),
        ({"tlsEnabled": True, "ca": "ca.pem"}, TlsMode.MUTUAL),
        ({"tlsEnabled": False, "ca": "ca.pem"}, TlsMode.OFF),
        ({"tlsEnabled": True, "tlsMode": 1}, TlsMode.SERVER),
        ({"tlsEnabled": False, "tlsMode": 0}, TlsMode.OFF),
    ],
)
def test_tls_mode_comes_from_either_form(security, mode):
    assert tls(**security).tls_mode is mode


@pytest.mark.parametrize(
    "security",
    [
        {"tlsMode": 0, "tlsEnabled": True},
        {"tlsMode": 1, "tlsEnabled": False},
        # Dropping the clients' certificates must not happen by contradiction.
        {"tlsMode": 1, "tlsEnabled": True, "ca": "ca.pem"},
    ],
)
def test_two_forms_that_contradict_each_other_are_refused(security):
    with pytest.raises(ValidationError, match="set only tlsMode"):
        tls(**security)


def invalid(**values):
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(values)
    return str(caught.value)


def test_each_tls_mode_needs_its_files():
    assert "needs tls.serverPemPath and tls.serverKeyPath" in invalid(
        common={"security": {"tlsMode": 1}}
    )
    assert "TLS mode 2 needs tls.caPemPath" in invalid(
        common={"security": {"tlsMode": 2, "tlsEnabled": True}},
        tls={"serverPemPath": "a", "serverKeyPath": "b"},
    )


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"etcd": {"ssl": {"tlsCert": "a"}}}, "both the certificate and its key"),
        ({"internaltls": {"serverKeyPath": "a"}}, "both the certificate and its key"),
        ({"internaltls": {"clientPemPath": "a"}}, "both the certificate and its key"),
        ({"backend": {"tls": {"clientKeyPath": "a"}}}, "both the certificate and its key"),
        ({"etcd": {"auth": {"enabled": True}}}, "needs a user name"),
        ({"proxy": {"minPasswordLength": 10, "maxPasswordLength": 9}}, "must not exceed"),
        ({"lease": {"renewInterval": 5}}, "too rare"),
        ({"lease": {"clockMargin": {"fixed": 8.9}}}, "expires before it is renewed"),
        ({"lease": {"clockMargin": {"ratio": 0.9, "fixed": 0}}}, "expires before it"),
        (
            {"lease": {"clockMargin": {"ratio": 0.7}}, "election": {"ttl": 0.2}},
            "is not shorter than an election",
        ),
        ({"lease": {"ttl": 5}}, "must be longer than an election"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(values, complaint):
    assert complaint in invalid(**values)


@pytest.mark.parametrize("margin", [{"ratio": 0, "fixed": 0}, {"ratio": 0.3, "fixed": 3.4}])
def test_a_clock_margin_of_nothing_and_a_large_one_are_both_fine(margin):
    lease = Settings.model_validate({"lease": {"clockMargin": margin}}).lease
    assert lease.margin.given_up_seconds(lease.ttl) == pytest.approx(
        10 * margin["ratio"] + margin["fixed"]
    )


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b"secret\n\n", "secret"),
        (b"\xef\xbb\xbfsecret\r\n", "secret"),
        (b" sp ace ", " sp ace "),
        ("pässword\n".encode(), "pässword"),
    ],
)
def test_root_password_file_wins_and_loses_its_line_ends(tmp_path, content, password):
    path = tmp_path / "password"
    path.write_bytes(content)
    security = SecuritySettings(
        default_root_password=Secret("other"), default_root_password_file=str(path)
    )
    assert security.initial_root_password().reveal() == password


def test_without_a_file_the_root_password_is_the_setting():
    assert SecuritySettings().initial_root_password() == Secret("Milvus")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff", "not UTF-8"),
        ("secret".encode("utf-16"), "UTF-16; save it as UTF-8"),
        (b"secret\nsecret2\n", "contains a line break"),
    ],
)
def test_unusable_root_password_file_is_a_clear_error(tmp_path, content, complaint):
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    security = SecuritySettings(default_root_password_file=str(path))
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        security.initial_root_password()
    assert "common.security.defaultRootPasswordFile" in caught.value.message
    assert str(path) in caught.value.message
    assert "secret" not in caught.value.message


def test_a_relative_path_is_shown_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    security = SecuritySettings(default_root_password_file="root/password")
    with pytest.raises(ConfigurationError, match=f"{tmp_path}/root/password cannot be read"):
        security.initial_root_password()


def test_settings_cannot_be_copied_with_their_secrets_by_accident():
    with pytest.raises(TypeError, match="pickled"):
        copy.deepcopy(Settings())


def test_one_file_serves_both_services_on_one_machine():
    settings = Settings()
    ports = [
        each
        for service in (settings.proxy, settings.root_coord)
        for each in (service.port, service.operations.port)
    ]
    ports.append(int(settings.backend.address.rpartition(":")[2]))
    assert len(set(ports)) == len(ports)


def test_everything_that_assumes_an_operations_port_assumes_the_default():
    settings = Settings()
    assert list(DEFAULT_OPERATIONS) == [f"localhost:{settings.proxy.operations.port}"]
    assert Proxy.operations_port == settings.proxy.operations.port
    assert RootCoord.operations_port == settings.root_coord.operations.port
    assert Ports().proxies[0].operations == settings.proxy.operations.port
    assert Ports().root_coord_operations == settings.root_coord.operations.port
