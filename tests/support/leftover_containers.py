"""Removes the containers of killed runs, which would disturb later runs.

Testcontainers' own helper, Ryuk, needs an image from a registry. Without it, a port that a
killed run has published stays redirected: a later test that listens on it gets no connection.
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
    """Returns a claim, which must stay open while this process runs containers.

    If no other process has a claim, all containers of our images are leftovers, and are removed.

    Args:
        podman: runs podman with these arguments, and returns its output.
        image_prefix: the common beginning of the names of our images.
        lock: the file that all such processes share.
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
