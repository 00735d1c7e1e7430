"""Unpacks programs of Debian packages below build/, without installing them."""

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parents[2] / "build" / "debian"
_SECONDS: Final = 120


@cache
def program_of(package: str, path: str) -> Path | None:
    """Returns a program of a Debian package, which is downloaded at the first call.

    Returns None without apt or without the package. The program finds only libraries that are
    installed on this machine.

    Args:
        package: its name.
        path: where the program is in it, such as `usr/bin/promtool`.
    """
    unpacked = _FOLDER / package
    if not (unpacked / path).exists() and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        try:
            _unpack(package, unpacked)
        except (subprocess.SubprocessError, OSError):
            return None
    return unpacked / path if (unpacked / path).exists() else None


def _unpack(package: str, target: Path) -> None:
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{package}-", dir=_FOLDER) as folder:
        work = Path(folder)
        try:
            _run(work, "apt-get", "download", "--quiet", package)
        except subprocess.CalledProcessError:
            # The lists of packages are missing; fetching them into our own folder needs no root.
            own = ("--option", f"Dir::State::lists={work}", "--option", f"Dir::Cache={work}")
            (work / "partial").mkdir()
            (work / "archives" / "partial").mkdir(parents=True)
            _run(work, "apt-get", *own, "update", "--quiet")
            _run(work, "apt-get", *own, "download", "--quiet", package)
        (archive,) = work.glob("*.deb")
        _run(work, "dpkg-deb", "--extract", str(archive), "tree")
        if not target.exists():
            (work / "tree").rename(target)


def _run(folder: Path, *command: str) -> None:
    subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_SECONDS,
        check=True,
    )
