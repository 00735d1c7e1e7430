"""Unpacks programs of Debian packages below build/, without installing them."""

import shutil
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parents[2] / "build" / "debian"
_SECONDS: Final = 180


@cache
def program_of(
    package: str, path: str, *, needs: tuple[str, ...] | None = None, release: str = ""
) -> Path | None:
    """Returns a program of a Debian package, which is downloaded at the first call.

    Returns None without apt or without the package.

    Args:
        package: its name.
        path: where the program is in it, such as `usr/bin/promtool`.
        needs: further packages to unpack in the same place, such as modules. With it, an empty one
            included, the packages that all of these depend on are unpacked too, as far as this
            machine lacks them; start the program with `libraries_beside`. None unpacks `package`
            alone.
        release: of Debian, such as `forky`; "" is the machine's own.
    """
    unpacked = _FOLDER / (f"{package}-{release}" if release else package)
    if not (unpacked / path).exists() and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        # Another test process may have been faster: what is there decides.
        with suppress(subprocess.SubprocessError, OSError):
            _unpack(package, unpacked, needs, release)
    return unpacked / path if (unpacked / path).exists() else None


def libraries_beside(program: Path) -> dict[str, str]:
    """Returns the variable that makes a program find the libraries unpacked with it."""
    tree = _FOLDER / program.relative_to(_FOLDER).parts[0]
    folders = sorted({library.parent for library in tree.rglob("*.so*")})
    return {"LD_LIBRARY_PATH": ":".join(map(str, folders))}


def _unpack(package: str, target: Path, needs: tuple[str, ...] | None, release: str) -> None:
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{package}-", dir=_FOLDER) as folder:
        work = Path(folder)
        # Lists of our own: those of the machine may be missing, and updating them takes root.
        lists, archives = work / "lists", work / "cache" / "archives"
        for each in (lists, archives):
            (each / "partial").mkdir(parents=True)
        options = ("Dir::State::lists", lists), ("Dir::Cache", work / "cache")
        own = [f"--option={name}={value}" for name, value in options]
        own += ["--option=Debug::NoLocking=true", "--quiet"]
        if release:
            sources = work / "release.list"
            sources.write_text(f"deb {_mirror()} {release} main\n")
            own += [f"--option=Dir::Etc::sourcelist={sources}", "--option=Dir::Etc::sourceparts=-"]
        _run(archives, "apt-get", *own, "update")
        if needs is None:
            _run(archives, "apt-get", *own, "download", package)
        else:
            only = ("--download-only", "--yes", "--no-install-recommends")
            _run(archives, "apt-get", *own, "install", *only, package, *needs)
        for archive in archives.glob("*.deb"):
            _run(work, "dpkg-deb", "--extract", str(archive), "tree")
        if not target.exists():
            (work / "tree").rename(target)


def _mirror() -> str:
    """Returns where this machine gets the packages of Debian's main archive."""
    form = ("--format", "$(REPO_URI)", "Created-By: Packages", "Component: main", "Label: Debian")
    found = _run(_FOLDER, "apt-get", "indextargets", *form).split()
    if not found:
        raise FileNotFoundError("this machine has no source of Debian packages")
    return found[0]


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_SECONDS,
        check=True,
        text=True,
    )
    return done.stdout
