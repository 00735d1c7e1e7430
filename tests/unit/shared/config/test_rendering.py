import pytest
import yaml

from vecguard.config import Settings, load_settings, render
from vecguard.errors import ConfigurationError


def test_secrets_are_masked_and_names_are_the_files():
    settings = Settings.model_validate(
        {"etcd": {"auth": {"password": "hunter2"}}, "proxy": {"port": 5}}
    )
    text = render(settings)
    assert "hunter2" not in text
    assert "Milvus" not in text
    shown = yaml.safe_load(text)
    assert shown["etcd"]["auth"]["password"] == "<redacted>"
    assert shown["common"]["security"]["defaultRootPassword"] == "<redacted>"
    assert shown["proxy"]["port"] == 5
    assert shown["etcd"]["ssl"]["tlsCACert"] == ""
    assert shown["rootCoord"]["addresses"] == ["localhost:53100"]


def test_the_text_is_ascii_whatever_the_settings_hold():
    settings = Settings.model_validate({"tls": {"serverPemPath": "/ä/名.pem"}})
    assert render(settings).isascii()
    assert yaml.safe_load(render(settings))["tls"]["serverPemPath"] == "/ä/名.pem"


def test_a_secret_that_is_not_set_shows_as_empty():
    assert yaml.safe_load(render(Settings()))["etcd"]["auth"]["password"] == ""


def test_a_mask_never_becomes_a_password(tmp_path):
    path = tmp_path / "rendered.yaml"
    path.write_text(render(Settings()))
    with pytest.raises(ConfigurationError, match="mask that --print-config prints") as caught:
        load_settings(path, {})
    assert "VECGUARD__COMMON__SECURITY__DEFAULTROOTPASSWORD" in caught.value.message
