"""Writes the configuration files of the local stack's services."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.local.ports import LOOPBACK, Ports

Settings = Mapping[str, Any]

_ENVIRONMENT_PREFIX = "VECGUARD__"


def root_coord_settings(ports: Ports, index: int = 0) -> dict[str, Any]:
    """Returns settings that make the root coord of this index part of this stack."""
    own = ports.root_coords[index]
    return {
        "etcd": {"endpoints": [f"{LOOPBACK}:{ports.etcd}"]},
        "rootCoord": {
            "ip": LOOPBACK,
            "port": own.internal,
            "operations": {"ip": LOOPBACK, "port": own.operations},
        },
    }


def proxy_settings(ports: Ports, index: int, listen: str) -> dict[str, Any]:
    """Returns settings that make the proxy of this index part of this stack."""
    own = ports.proxies[index]
    return {
        "proxy": {
            "ip": listen,
            "port": own.public,
            "operations": {"ip": LOOPBACK, "port": own.operations},
        },
        "rootCoord": {"addresses": [f"{LOOPBACK}:{each.internal}" for each in ports.root_coords]},
        "backend": {"address": f"{LOOPBACK}:{ports.backend}"},
    }


#: A person reads the log, and does not wait long after Ctrl-C.
DEFAULTS: Settings = {
    "log": {"format": "text"},
    "proxy": {"drainTimeout": 5},
    "rootCoord": {"drainTimeout": 5},
}


def write(path: Path, *layers: Settings) -> None:
    """Writes one configuration file; later layers win. Only its owner may read it.

    Raises:
        OSError: it cannot be written.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = laid_over(merged, layer)
    text = (
        "# Written again at each start of the local stack. To change a setting, put it into the\n"
        "# environment, for example VECGUARD__LOG__LEVEL=debug.\n"
        + yaml.safe_dump(merged, sort_keys=False)
    )
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def without_overrides_of(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment without variables that would override these settings.

    Otherwise a `VECGUARD__PROXY__PORT` that is still set would move the proxy to a port where
    the stack does not expect it.
    """
    decided = {_ENVIRONMENT_PREFIX + "__".join(path).upper() for path in _paths(settings)}
    return {name: value for name, value in environment.items() if name.upper() not in decided}


def laid_over(below: Settings, above: Settings) -> dict[str, Any]:
    """Merges two settings, section by section; where they differ, `above` wins."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        both_are_sections = isinstance(value, Mapping) and isinstance(under, Mapping)
        result[key] = laid_over(under or {}, value) if both_are_sections else value
    return result


def _paths(settings: Settings) -> Iterator[tuple[str, ...]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            for path in _paths(value):
                yield (key, *path)
        else:
            yield (key,)
