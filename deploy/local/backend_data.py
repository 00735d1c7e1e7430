"""Checks the directory in which Milvus Lite keeps its data, before Milvus Lite is started.

Milvus Lite 3 makes `collections` and `LOCK` in it. Milvus Lite 2.x had one SQLite file instead.
"""

import contextlib
import fcntl
from pathlib import Path
from typing import Final

from deploy.local.errors import LocalStackError

_SQLITE: Final = b"SQLite format 3\0"
_COLLECTIONS: Final = "collections"
_LOCK: Final = "LOCK"


def check_backend_data(directory: Path, *, given: bool) -> None:
    """Checks that Milvus Lite can serve this directory. Changes no file.

    Args:
        directory: where its data are or will be.
        given: whether the user named it as an existing database. Otherwise it may be missing or
            empty: Milvus Lite then makes a new database there.

    Raises:
        LocalStackError: it cannot be served; the text says why and what to do.
    """
    try:
        _check(directory, given=given)
    except OSError as error:
        raise LocalStackError(
            f"the database {directory} cannot be read ({error.strerror})"
        ) from error


def _check(directory: Path, *, given: bool) -> None:
    if not directory.exists():
        if given:
            raise LocalStackError(
                f"{directory} does not exist; DATA must be an existing Milvus Lite 3 database"
            )
        return
    if not directory.is_dir():
        raise LocalStackError(f"{directory} {_what_file(directory)}")
    nested = sorted(each for each in directory.iterdir() if _is_database(each))
    if nested:
        raise LocalStackError(
            f"{directory} has another database inside it, {nested[0].name}, which Milvus Lite "
            "would not serve; move it elsewhere, then run: make run DATA=NEW_PATH"
        )
    if not _is_database(directory) and (given or any(directory.iterdir())):
        raise LocalStackError(
            f"{directory} is not a Milvus Lite 3 database: it has no directory {_COLLECTIONS}"
        )
    _check_unused(directory)


def _is_database(path: Path) -> bool:
    return (path / _COLLECTIONS).is_dir() or (path.is_file() and _is_sqlite(path))


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _what_file(path: Path) -> str:
    if path.is_file() and _is_sqlite(path):
        return (
            "is a database of Milvus Lite 2.x, which Milvus Lite 3 cannot read; "
            "copy its rows through the proxy, see docs/index.md"
        )
    return "is not a Milvus Lite 3 database, which is a directory"


def _check_unused(directory: Path) -> None:
    """Checks the lock that Milvus Lite holds on its data while it has them open."""
    with contextlib.suppress(FileNotFoundError), (directory / _LOCK).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LocalStackError(
                f"another process has {directory} open; stop it, or close its client"
            ) from error
