"""A compose file that is run, by docker's plugin or by podman-compose."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.containers import Engine
from tests.support.programs import program

_COMMAND_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Project:
    """One run of the compose file under a name of its own."""

    name: str
    engine: Engine
    command: Sequence[str]
    files: Sequence[Path]
    environment: Mapping[str, str]

    def compose(self, *arguments: str) -> str:
        files = [word for file in self.files for word in ("-f", str(file))]
        done = subprocess.run(
            [*self.command, "-p", self.name, *files, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
            start_new_session=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def published(self, service: str, port: int) -> str:
        """host:port on this machine."""
        # podman-compose tells no address.
        return "127.0.0.1:" + self.compose("port", service, str(port)).rpartition(":")[2]

    def exit_codes(self) -> dict[str, int]:
        """By service, running ones included."""
        return {service: each["State"]["ExitCode"] for service, each in self._inspected()}

    def logs(self) -> dict[str, str]:
        """By service."""
        return {service: self.compose("logs", service) for service, _ in self._inspected()}

    def left(self) -> list[str]:
        """Containers, volumes and networks."""
        return [
            *self._ours("ps", "--all", "--format", "{{.Names}}"),
            *self._ours("volume", "ls", "--quiet"),
            *self._ours("network", "ls", "--quiet"),
        ]

    def _inspected(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for identity in self._ours("ps", "--all", "--format", "{{.ID}}"):
            (found,) = json.loads(self.engine.run("inspect", identity))
            yield found["Config"]["Labels"]["com.docker.compose.service"], found

    def _ours(self, *command: str) -> list[str]:
        label = f"label=com.docker.compose.project={self.name}"
        return self.engine.run(*command, "--filter", label).splitlines()


def compose_command(engine: Engine) -> Sequence[str]:
    if engine.is_podman:
        return [program("podman-compose", "pip install podman-compose")]
    found = subprocess.run(
        ["docker", "compose", "version"], capture_output=True, timeout=_COMMAND_SECONDS, check=False
    )
    if found.returncode != 0:
        pytest.skip("docker has no compose: install its plugin")
    return ["docker", "compose"]
