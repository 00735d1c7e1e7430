"""What `make run DATA=...` says of a database before Milvus Lite is started on it."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from milvus_lite.db import MilvusLite

from deploy.local.backend_data import check_backend_data
from deploy.local.errors import LocalStackError
from deploy.local.ports import Ports
from deploy.local.stack import LocalStack

GIVEN_OR_NOT = pytest.mark.parametrize("given", [True, False], ids=["given", "own"])


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """As Milvus Lite 3 makes it."""
    path = tmp_path / "my.db"
    MilvusLite(str(path)).close()
    return path


@pytest.fixture
def old_database(tmp_path: Path) -> Path:
    """As Milvus Lite 2.x makes it, which no environment has beside 3: a SQLite file."""
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE collection_meta (id INTEGER)")
    connection.close()
    return path


@GIVEN_OR_NOT
def test_a_database_of_milvus_lite_3_is_served(database: Path, given):
    check_backend_data(database, given=given)


def test_a_new_database_may_be_made_where_none_was_named(tmp_path: Path):
    check_backend_data(tmp_path / "milvus-lite", given=False)
    check_backend_data(tmp_path, given=False)


def test_a_database_that_does_not_exist_is_an_error_where_it_was_named(tmp_path: Path):
    with pytest.raises(LocalStackError, match=r"typo.db does not exist; DATA must be an existing"):
        check_backend_data(tmp_path / "typo.db", given=True)


@GIVEN_OR_NOT
def test_a_file_of_milvus_lite_2_is_told_apart(old_database: Path, given):
    with pytest.raises(LocalStackError, match=r"old.db is a database of Milvus Lite 2.x, which"):
        check_backend_data(old_database, given=given)


@GIVEN_OR_NOT
def test_another_file_is_no_database(tmp_path: Path, given):
    file = tmp_path / "notes.txt"
    file.write_text("SQLite")
    with pytest.raises(LocalStackError, match=r"notes.txt is not a Milvus Lite 3 database"):
        check_backend_data(file, given=given)


@GIVEN_OR_NOT
def test_another_directory_is_no_database(tmp_path: Path, given):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(LocalStackError, match="it has no directory collections"):
        check_backend_data(tmp_path, given=given)


def test_an_empty_directory_is_no_database_where_one_was_named(tmp_path: Path):
    with pytest.raises(LocalStackError, match="it has no directory collections"):
        check_backend_data(tmp_path, given=True)


@GIVEN_OR_NOT
def test_a_database_that_was_copied_into_another_is_named(tmp_path: Path, database: Path, given):
    served = tmp_path / "milvus-lite"
    MilvusLite(str(served)).close()
    shutil.copytree(database, served / "my.db")
    with pytest.raises(LocalStackError, match=r"milvus-lite has another database inside it, my.db"):
        check_backend_data(served, given=given)


def test_an_old_file_that_was_copied_into_a_database_is_named(database: Path, old_database: Path):
    shutil.copy(old_database, database)
    with pytest.raises(LocalStackError, match=r"my.db has another database inside it, old.db"):
        check_backend_data(database, given=False)


def test_a_database_that_another_process_has_open_is_named(database: Path):
    with (
        MilvusLite(str(database)),
        pytest.raises(LocalStackError, match=r"another process has .* open"),
    ):
        check_backend_data(database, given=True)


async def test_a_stack_looks_at_its_database_before_it_starts_anything(
    tmp_path: Path, old_database: Path
):
    stack = LocalStack(tmp_path / "data", backend_data=old_database, ports=Ports.free())
    with pytest.raises(LocalStackError, match=r"Milvus Lite 2\.x"):
        await stack.start()
    assert not any(process.running for process in stack.processes)
