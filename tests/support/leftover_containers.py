"""Containers of runs that were killed, which would disturb those that come after them.

Testcontainers has a helper for it, Ryuk, whose image only a registry has. Without it, a port
that a killed run has published stays redirected: a test that is given it by the kernel later
and listens there is reached by nobody.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

#: Held by every process that runs containers; the kernel lets go of it however one ends.
LOCK: Final = Path(tempfile.gettempdir()) / f"vecguard-test-containers-{os.geteuid()}.lock"
#: Podman's own, which is never removed.
_DEFAULT_NETWORK: Final = "podman"


def claim_containers(
    podman: Callable[..., str], image_prefix: str, *, lock: Path = LOCK
) -> IO[bytes]:
    """What must stay open for as long as this process runs containers.

    If no other process has one, every container that there is was left behind, and is removed.

    Args:
        podman: runs it with these arguments and gives what it printed.
        image_prefix: with which the names of our images begin.
        lock: the file that all who run them agree upon.
    """
    claim = lock.open("ab")
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove_all(podman, image_prefix)
    fcntl.flock(claim, fcntl.LOCK_SH)
    return claim


def _remove_all(podman: Callable[..., str], image_prefix: str) -> None:
    listed = podman("ps", "--all", "--format", "{{.ID}} {{.Image}} {{.Networks}}")
    networks = set()
    for line in listed.splitlines():
        identity, image, *joined = line.split()
        if image.startswith(image_prefix):
            podman("rm", "--force", "--volumes", "--time", "0", identity)
            networks.update(name for each in joined for name in each.split(","))
    for network in networks - {_DEFAULT_NETWORK}:
        podman("network", "rm", network)
