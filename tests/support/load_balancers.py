"""HAProxy and nginx of Debian, with the configurations that docs/load-balancers.md shows."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from deploy.local.ports import free_ports
from tests.support.debian_packages import libraries_beside, program_of
from tests.support.programs import running_at

_PAGE: Final = Path(__file__).parents[2] / "docs" / "load-balancers.md"
#: The address and the operations port of a proxy in the page's configurations.
_PROXY: Final = "10.0.1.11:19530"
_OPERATIONS: Final = "port 9091"


def documented(first_line: str) -> str:
    """Returns the configuration that begins with this line in the page."""
    block = rf"(?ms)^```\w+\n({re.escape(first_line)}\n.*?)^```$"
    found = re.search(block, _PAGE.read_text())
    assert found is not None, first_line
    return found[1]


def replaced(text: str, old: str, new: str) -> str:
    """Replaces what must be there once."""
    assert text.count(old) == 1, (old, text)
    return text.replace(old, new)


@asynccontextmanager
async def haproxy(
    folder: Path, proxy: str, operations: str, *, source: str, sends: str = "send-proxy-v2"
) -> AsyncIterator[int]:
    """Runs HAProxy in front of a proxy. Yields its port.

    Args:
        folder: for its configuration.
        proxy: the proxy's address.
        operations: the address of its operations port.
        source: the address that HAProxy connects from.
        sends: what makes it send PROXY headers.
    """
    program = _program("haproxy")
    (port,) = free_ports(1)
    # HAProxy does not start without two file descriptors for each connection.
    text = replaced(documented("# haproxy.cfg"), "maxconn 20000", "maxconn 100")
    text = replaced(text, "bind :::19530 v4v6", f"bind 127.0.0.1:{port}")
    text = replaced(text, f"{_PROXY} send-proxy-v2", f"{proxy} {sends} source {source}")
    text = replaced(text, _OPERATIONS, f"port {operations.rpartition(':')[2]}")
    file = folder / f"haproxy-{port}.cfg"
    file.write_text(text)
    async with running_at(port, str(program), "-db", "-f", str(file), env=_environment(program)):
        yield port


@asynccontextmanager
async def nginx(folder: Path, proxy: str, *, first_line: str, source: str) -> AsyncIterator[int]:
    """Runs nginx in front of a proxy. Yields its port.

    Args:
        folder: for its configuration and files.
        proxy: the proxy's address.
        first_line: of its configuration in the page.
        source: the address that nginx connects from.
    """
    program = _program("nginx", "libnginx-mod-stream")
    (port,) = free_ports(1)
    own = folder / f"nginx-{port}"
    own.mkdir()
    text = replaced(documented(first_line), _PROXY, proxy)
    text = replaced(text, "listen 19530", f"listen 127.0.0.1:{port}")
    beginning = f"pid {own}/pid;\nerror_log stderr;\nworker_processes 1;\n"
    if os.geteuid() == 0:  # its workers could not use the folder as another user
        beginning += "user root;\n"
    if "stream {" in text:
        module = program.parents[1] / "lib/nginx/modules/ngx_stream_module.so"
        beginning += f"load_module {module};\n"
        text = replaced(text, "proxy_pass proxies;", f"proxy_pass proxies; proxy_bind {source};")
    else:
        files = "access_log off;\n" + "".join(
            f"{each}_temp_path {own}/{each};\n"
            for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        text = replaced(text, "http {\n", "http {\n" + files)
        text = replaced(text, "grpc_pass grpc", f"grpc_bind {source}; grpc_pass grpc")
    file = own / "nginx.conf"
    file.write_text(beginning + text)
    arguments = ("-p", str(own), "-c", str(file), "-e", "stderr", "-g", "daemon off;")
    async with running_at(port, str(program), *arguments, env=_environment(program)):
        yield port


def _program(package: str, *needs: str) -> Path:
    program = program_of(package, f"usr/sbin/{package}", needs=needs)
    if program is None:
        pytest.skip(f"{package} is not installed, and apt does not get it")
    return program


def _environment(program: Path) -> dict[str, str]:
    return os.environ | libraries_beside(program)
