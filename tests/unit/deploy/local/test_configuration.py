from pathlib import Path

from deploy.local import configuration
from deploy.local.ports import Ports
from vecguard.config import load_settings


def test_what_is_written_is_what_the_services_read(tmp_path: Path):
    ports = Ports.free()
    file = tmp_path / "proxy.yaml"
    configuration.write(
        file,
        configuration.DEFAULTS,
        configuration.root_coord_settings(ports),
        configuration.proxy_settings(ports, 0, "0.0.0.0"),
        {"authentication": {"bcryptCost": 5}},
    )

    settings = load_settings(file, {})

    assert settings.proxy.ip == "0.0.0.0"
    assert settings.proxy.port == ports.proxies[0].public
    assert settings.proxy.operations.ip == "127.0.0.1"
    assert settings.proxy.operations.port == ports.proxies[0].operations
    assert settings.root_coord.port == ports.root_coord
    assert settings.root_coord.operations.port == ports.root_coord_operations
    assert settings.authentication.bcrypt_cost == 5
    assert settings.log.format == "text"


def test_only_its_owner_may_read_a_configuration(tmp_path: Path):
    file = tmp_path / "proxy.yaml"

    configuration.write(file, {"log": {"level": "info"}})

    assert file.stat().st_mode & 0o777 == 0o600


def test_the_environment_cannot_move_what_the_stack_decides():
    settings = configuration.proxy_settings(Ports(), 0, "127.0.0.1")
    environment = {
        "VECGUARD__PROXY__PORT": "1",
        "VECGUARD__PROXY__OPERATIONS__PORT": "2",
        "VECGUARD__LOG__LEVEL": "debug",
        "PATH": "/bin",
    }

    assert configuration.without_overrides_of(settings, environment) == {
        "VECGUARD__LOG__LEVEL": "debug",
        "PATH": "/bin",
    }
