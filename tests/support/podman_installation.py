"""Installs podman on a machine without it. Only on request: it changes the machine."""

import os
import shutil
import subprocess
from typing import Final

# debootstrap makes a base image where no registry is reached; crun cannot start a container
# where cgroups of both versions are mounted, runc can.
_PACKAGES: Final = ("podman", "runc", "netavark", "aardvark-dns", "iptables", "debootstrap")
_SECONDS: Final = 300


def can_install_podman() -> bool:
    """Returns whether this is root on Debian or a similar system."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install_podman() -> None:
    """Installs podman from the distribution's packages.

    Raises:
        subprocess.SubprocessError: that failed, or took too long.
    """
    for command in (
        ("apt-get", "update", "--quiet"),
        ("apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *_PACKAGES),
    ):
        subprocess.run(
            command,
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
