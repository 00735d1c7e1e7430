"""Runs a scenario script under one version of pymilvus and reads what it reports."""

import asyncio
import contextlib
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import CHECKOUT

_SCENARIOS = Path(__file__).with_name("scenarios")
_SECONDS = 60.0


@dataclass(frozen=True)
class Pymilvus:
    """One installed pymilvus: its major version, and the Python that has it."""

    major: int
    python: Path

    async def run(self, scenario: str, **options: str) -> dict[str, Any]:
        """What this scenario reports; the test fails if the scenario does not end well."""
        if not self.python.exists():
            pytest.fail(f"{self.python} is missing; run: make test, or make .venv-pymilvus2/.ready")
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        process = await asyncio.create_subprocess_exec(
            self.python,
            _SCENARIOS / f"{scenario}.py",
            *arguments,
            # grpc would send calls for loopback to a configured HTTP proxy.
            env=os.environ | {"NO_PROXY": "*", "no_proxy": "*"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_SECONDS):
                output, errors = await process.communicate()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode != 0:
            pytest.fail(f"{scenario} under pymilvus {self.major}.x:\n{errors.decode()[-4000:]}")
        results: dict[str, Any] = json.loads(output)
        return results


VERSIONS = (
    Pymilvus(3, CHECKOUT / ".venv" / "bin" / "python"),
    Pymilvus(2, CHECKOUT / ".venv-pymilvus2" / "bin" / "python"),
)


def grpc_answer(result: dict[str, Any]) -> tuple[str, str]:
    """The gRPC status and text behind a failed attempt, however deep pymilvus put it."""
    error = result.get("error")
    while error is not None:
        if "grpc" in error:
            return error["grpc"], error["details"]
        error = error.get("cause")
    pytest.fail(f"no gRPC answer in {result}")


def milvus_answer(result: dict[str, Any]) -> tuple[int, str]:
    """Milvus's own code and reason of a failed attempt."""
    error = result.get("error", {})
    if error.get("type") != "MilvusException":
        pytest.fail(f"no MilvusException in {result}")
    return error["code"], error["message"]
