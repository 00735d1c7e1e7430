"""Generates the Python messages and stubs of every .proto file below this folder."""

import argparse
import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parent
PLUGIN = Path(sys.executable).with_name("protoc-gen-python_betterproto")


def generate(target: Path) -> None:
    """Writes betterproto's output for all sources into `target`, which is emptied first."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    protos = sorted(str(path.relative_to(SOURCES)) for path in SOURCES.rglob("*.proto"))
    subprocess.run(  # noqa: S603 - our own arguments, no shell
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{SOURCES}",
            f"--plugin=protoc-gen-python_betterproto={PLUGIN}",
            f"--python_betterproto_out={target}",
            *protos,
        ],
        check=True,
        stderr=subprocess.PIPE,
    )


def differences(left: Path, right: Path) -> list[str]:
    """The files that stand in one folder only or differ, relative to the folders."""
    names = {path.relative_to(root) for root in (left, right) for path in root.rglob("*.py")}
    return sorted(
        str(name)
        for name in names
        if not (left / name).is_file()
        or not (right / name).is_file()
        or not filecmp.cmp(left / name, right / name, shallow=False)
    )


def main() -> None:
    """Generates, or with --check compares and fails when the committed output is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if not arguments.check:
        generate(arguments.target)
        return
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "generated"
        generate(fresh)
        stale = differences(fresh, arguments.target)
    if stale:
        sys.exit(f"stale generated code, run `make protos`: {', '.join(stale)}")


if __name__ == "__main__":
    main()
