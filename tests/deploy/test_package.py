"""The package that users install: what it holds, what it leaves alone, where it works.

pip, wheels, environments and mypy are real. Libraries come from this environment, so that no test
downloads them.
"""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
COMMANDS = ("vecguard", "vecguard-proxy", "vecguard-root-coord")
MODULES = ("vecguard.cli", "vecguard.proxy", "vecguard.root_coord")
IMPORTS = "import vecguard.cli.__main__, vecguard.proxy.app, vecguard.root_coord.app"
FOREIGN = ("shared", "services")

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]


class Environment:
    """A virtual environment with the libraries of this one, and without Vecguard at first."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self._bin = folder / "bin"
        self.python = self._bin / "python"
        # Its own packages go first. A .pth file in the folder that it names is not read, so
        # Vecguard's editable installation is not found through it.
        packages = Path(self.output("import sysconfig; print(sysconfig.get_path('purelib'))"))
        (packages / "zz_libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def command(self, name: str) -> Path:
        return self._bin / name

    def install(self, *wheels: Path) -> None:
        self._pip("install", "--no-deps", "--no-index", *map(str, wheels))

    def uninstall(self, name: str) -> None:
        self._pip("uninstall", "--yes", name)

    def output(self, code: str, **options) -> str:
        return run(self.python, "-c", code, **options)

    def _pip(self, *arguments: str) -> None:
        run(sys.executable, "-m", "pip", "--quiet", "--python", str(self.python), *arguments)


class ThisEnvironment:
    """This one, in which the checkout is installed as editable."""

    python = Path(sys.executable)

    def command(self, name: str) -> Path:
        return self.python.with_name(name)


def run(*argv: object, cwd: Path | None = None, pythonpath: str = "") -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if pythonpath:
        environment["PYTHONPATH"] = pythonpath
    done = subprocess.run(
        [str(argument) for argument in argv],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=CHECKOUT)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Wheels of others, each with a package that is named as a folder of ours."""
    folder = tmp_path_factory.mktemp("foreign")
    return {name: _foreign_wheel(folder, name) for name in FOREIGN}


def _foreign_wheel(folder: Path, name: str) -> Path:
    about = f"{name}-1.0.dist-info"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    files = {
        f"{name}/__init__.py": "OWNER = 'another project'\n",
        f"{name}/errors.py": "OWNER = 'another project'\n",
        f"{name}/proxy/__init__.py": "OWNER = 'another project'\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    records = "".join(f"{file},,\n" for file in (*files, f"{about}/RECORD"))
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{about}/RECORD": records}.items():
            archive.writestr(file, text)
    return path


@pytest.fixture
def empty(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "environment")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("installed"))
    environment.install(wheel)
    return environment


@pytest.fixture(params=["editable", "wheel"])
def either(request: pytest.FixtureRequest, installed: Environment) -> Environment | ThisEnvironment:
    return ThisEnvironment() if request.param == "editable" else installed


def works(environment: Environment) -> None:
    where = environment.output(f"{IMPORTS}; print(vecguard.proxy.app.__file__)")
    assert where.startswith(str(environment.python.parents[1])), "another installation was found"


def are_theirs(environment: Environment) -> None:
    for name in FOREIGN:
        modules = (name, f"{name}.errors", f"{name}.proxy")
        for module in modules:
            code = f"import {module}; print({module}.OWNER)"
            assert environment.output(code) == "another project"


def test_wheel_holds_one_package_and_all_sources(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"vecguard"}
    assert len(names) == len(set(names))
    sources = {
        str(file.relative_to(CHECKOUT / root))
        for root in ("services", "shared")
        for file in (CHECKOUT / root).rglob("*.py")
    }
    assert sources == {name for name in names if name.endswith(".py")}
    assert "vecguard/py.typed" in names


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["ours_first", "theirs_first"])
def test_packages_of_others_and_ours_leave_each_other_alone(
    empty: Environment, wheel: Path, foreign: dict[str, Path], order: tuple[int, ...]
) -> None:
    for step in order:
        empty.install(*([wheel], list(foreign.values()))[step])
    works(empty)
    are_theirs(empty)


def test_uninstalling_one_leaves_the_other(
    empty: Environment, wheel: Path, foreign: dict[str, Path]
) -> None:
    empty.install(wheel, *foreign.values())
    empty.uninstall("vecguard")
    are_theirs(empty)
    empty.install(wheel)
    for name in FOREIGN:
        empty.uninstall(name)
    works(empty)


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder of a user whose names are those of our folders and modules."""
    for name in ("shared", "services", "proxy", "errors"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module was imported')\n")
    for name in ("testing", "tls", "config"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong package')\n")
    # As where a checkout was cloned: a folder of that name, which is no package.
    (tmp_path / "vecguard" / "services").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("pythonpath", ["", f".:{CHECKOUT}"], ids=["no_path", "path"])
def test_commands_start_from_any_directory_and_under_any_pythonpath(
    either: Environment | ThisEnvironment, hostile: Path, pythonpath: str
) -> None:
    for name in COMMANDS:
        told = run(either.command(name), "--version", cwd=hostile, pythonpath=pythonpath)
        assert told.startswith(name)
    for module in MODULES:
        run(either.python, "-m", module, "--version", cwd=hostile, pythonpath=pythonpath)
    run(either.python, "-c", IMPORTS, cwd=hostile, pythonpath=pythonpath)


def test_type_checker_of_a_user_follows(
    either: Environment | ThisEnvironment, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from vecguard.proxy.app import Proxy\n"
        "from vecguard.secret import Secret\n"
        "from vecguard.testing import VecguardStack\n"
        "Proxy(1)\n"
        "Secret(1)\n"
        "VecguardStack(proxies='two')\n"
    )
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file", ""),
            *("--cache-dir", str(tmp_path / "cache"), "--python-executable", str(either.python)),
            str(program),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=120,
    ).stdout
    mistakes = [line.split(": error: ") for line in checked.splitlines() if ": error: " in line]
    assert [place for place, _ in mistakes] == ["program.py:4", "program.py:5", "program.py:6"]
    assert all(text.endswith(("[arg-type]", "[type-var]")) for _, text in mistakes), checked
