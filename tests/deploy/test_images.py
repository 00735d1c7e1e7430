"""The Dockerfile, read as text; it is built by the tests that start containers."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from vecguard.addresses import is_loopback
from vecguard.config import Settings, load_settings
from vecguard.observability import probe

CHECKOUT = Path(__file__).parents[2]
TARGETS = ("proxy", "root-coord", "cli", "milvus-lite")


def stages() -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """By name: the stage that it begins with, and its instructions."""
    text = (CHECKOUT / "deploy" / "docker" / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    instructions = [
        (line.split(None, 1)[0], line.split(None, 1)[1])
        for line in "\n".join(lines).replace("\\\n", " ").splitlines()
        if line.strip()
    ]
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    for keyword, rest in instructions:
        if keyword == "FROM":
            base, _, name = rest.split()
            found[name] = (base, [])
        elif found:
            found[list(found)[-1]][1].append((keyword, " ".join(rest.split())))
    return found


def whole(target: str) -> list[tuple[str, str]]:
    """A stage's instructions after those of the stages that it is based on."""
    base, own = stages()[target]
    return (whole(base) if base in stages() else []) + own


def last(target: str, keyword: str) -> str:
    return [rest for each, rest in whole(target) if each == keyword][-1]


@pytest.mark.parametrize("target", TARGETS)
def test_image_runs_as_a_number_that_is_not_root(target: str) -> None:
    assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", last(target, "USER"))


@pytest.mark.parametrize("target", TARGETS)
def test_process_one_is_the_service_itself(target: str) -> None:
    # The other form puts a shell in front, which does not pass SIGTERM on.
    assert json.loads(last(target, "ENTRYPOINT"))


@pytest.mark.parametrize(
    ("target", "command"),
    [("proxy", "vecguard-proxy"), ("root-coord", "vecguard-root-coord"), ("cli", "vecguard")],
)
def test_entry_point_is_a_command_that_is_installed(target: str, command: str) -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert command in project["scripts"]
    assert json.loads(last(target, "ENTRYPOINT")) == [command]


def test_ports_are_those_of_the_settings() -> None:
    settings = Settings()
    for target, service in (("proxy", settings.proxy), ("root-coord", settings.root_coord)):
        assert last(target, "EXPOSE") == f"{service.port} {service.operations.port}"
    assert settings.backend.address.endswith(":" + last("milvus-lite", "EXPOSE"))


@pytest.mark.parametrize(
    ("target", "port", "path"),
    [
        ("proxy", Settings().proxy.operations.port, "/readyz"),
        ("root-coord", Settings().root_coord.operations.port, "/readyz?exclude=role"),
    ],
)
def test_health_check_is_our_own_probe(
    target: str, port: int, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = json.loads(last(target, "HEALTHCHECK").partition("CMD ")[2])
    assert command[:3] == ["python", "-m", probe.__name__]
    asked = []
    monkeypatch.setattr(probe, "problem_of", lambda *where, **_: asked.append(where))
    assert probe.main(command[3:]) == probe.EXIT_HEALTHY
    assert asked == [("127.0.0.1", port, path)]


def test_the_images_listen_beyond_the_loopback_of_a_container() -> None:
    assert is_loopback(Settings().root_coord.ip)
    variables = dict(
        variable.split("=", 1)
        for target in ("proxy", "root-coord")
        for variable in last(target, "ENV").split()
    )
    settings = load_settings(None, variables)
    listening = (settings.proxy, settings.root_coord)
    addresses = [each.ip for each in (*listening, *(each.operations for each in listening))]
    assert addresses == ["0.0.0.0"] * 4


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_installed_in_a_stage_that_is_shipped(target: str) -> None:
    assert not [rest for keyword, rest in whole(target) if keyword == "RUN"]


@pytest.mark.parametrize("target", TARGETS)
def test_image_says_what_it_is(target: str) -> None:
    labels = " ".join(rest for keyword, rest in whole(target) if keyword == "LABEL")
    assert f'org.opencontainers.image.title="vecguard-{target}"' in labels
    assert 'org.opencontainers.image.licenses="Apache-2.0"' in labels


def test_every_source_of_a_copy_is_let_into_the_build() -> None:
    ignore = (CHECKOUT / ".dockerignore").read_text().splitlines()
    admitted = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    assert "*" in ignore
    for _, instructions in stages().values():
        for keyword, rest in instructions:
            if keyword == "COPY" and not rest.startswith("--from"):
                for source in rest.split()[:-1]:
                    assert source in admitted
                    assert (CHECKOUT / source).exists()


def test_extras_of_the_images_are_those_of_the_package() -> None:
    extras = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    (default,) = [
        rest.partition("=")[2]
        for keyword, rest in stages()["dependencies"][1]
        if keyword == "ARG" and rest.startswith("EXTRAS=")
    ]
    documented = re.findall(r"EXTRAS=([a-z,]+)", (CHECKOUT / "docs" / "tracing.md").read_text())
    assert documented
    for names in (default, *documented):
        assert set(names.split(",")) <= set(extras)
    assert f"EXTRAS ?= {default}\n" in (CHECKOUT / "Makefile").read_text()
