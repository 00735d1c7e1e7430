"""The units for systemd, and the page about them, fit the programs that they start."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documented_steps import blocks, commands
from vecguard.config import Settings, load_settings
from vecguard.config.loading import settings_catalogue
from vecguard.lifecycle import EXIT_CONFIGURATION

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy" / "systemd"
PAGE_FILE = ROOT / "docs" / "systemd.md"
PAGE = PAGE_FILE.read_text()
SERVICES = ("vecguard-proxy", "vecguard-root-coord")
#: The group of both users, which may read what is not secret.
COMMON = "vecguard"
INSTALLED = "/opt/vecguard/bin/"
CONFIGURATION = "/etc/vecguard/vecguard.yaml"
# Of 100; 0 is the least exposed.
EXPOSURE = 20
SECONDS = 60


class Unit:
    """One unit. A directive may come several times."""

    def __init__(self, name: str) -> None:
        self.path = UNITS / f"{name}.service"
        lines = self.path.read_text().splitlines()
        self._directives = [
            line.split("=", 1) for line in lines if "=" in line and not line.startswith("#")
        ]

    def __getitem__(self, directive: str) -> str:
        (value,) = self.all(directive)
        return value

    def all(self, directive: str) -> list[str]:
        return [value for name, value in self._directives if name == directive]


@pytest.fixture(params=SERVICES)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def unit(name: str) -> Unit:
    return Unit(name)


def documented_files() -> list[str]:
    return [block.text for block in blocks(PAGE_FILE) if block.language == "yaml"]


def run(*argv: object, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(each) for each in argv],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        **options,
    )


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed (Debian: systemd)")
    return run(program, *arguments)


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Path]:
    """The units as on a machine where the programs are those of this environment."""
    for each in SERVICES:
        text = Unit(each).path.read_text().replace(INSTALLED, f"{Path(sys.executable).parent}/")
        (tmp_path / f"{each}.service").write_text(text)
    return tmp_path


def test_systemd_finds_nothing_wrong(installed: Path) -> None:
    done = analyze("verify", "--man=no", *sorted(installed.iterdir()))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_systemd_finds_a_misspelt_directive(installed: Path) -> None:
    unit = installed / "vecguard-proxy.service"
    unit.write_text(unit.read_text().replace("NoNewPrivileges", "NoNewPrivilege"))
    assert "NoNewPrivilege" in analyze("verify", "--man=no", unit).stderr


def test_services_are_hardly_exposed(unit: Unit) -> None:
    done = analyze("security", "--offline=yes", f"--threshold={EXPOSURE}", unit.path)
    assert done.returncode == 0, done.stdout


def test_unit_starts_a_program_of_the_package_with_options_that_it_has(
    unit: Unit, name: str
) -> None:
    program, *arguments = unit["ExecStart"].split()
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert program.removeprefix(INSTALLED) == name
    assert name in scripts
    help_ = run(Path(sys.executable).with_name(name), "--help").stdout
    assert arguments == ["--config", CONFIGURATION]
    assert "--config FILE" in help_


def test_unit_starts_with_the_documented_file(unit: Unit, tmp_path: Path, name: str) -> None:
    """The command of the unit, which here prints its settings and ends."""
    first, several = documented_files()
    for number, text in enumerate((first, several)):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text)
        command = unit["ExecStart"].replace(INSTALLED, f"{Path(sys.executable).parent}/")
        command = command.replace(CONFIGURATION, str(file))
        own = dict(each.split("=", 1) for each in unit.all("Environment"))
        password = tmp_path / "root-password"
        password.write_text("a good password")
        own = {key: str(password) for key in own}
        done = run(*command.split(), "--print-config", env={**os.environ, **own})
        assert done.returncode == 0, done.stderr


def test_root_coord_gets_root_s_first_password_as_a_credential() -> None:
    unit = Unit("vecguard-root-coord")
    credential, source = unit["LoadCredential"].split(":")
    variable, path = unit["Environment"].split("=", 1)
    key = settings_catalogue().by_variable(variable)
    assert key is not None
    assert key.dotted == "common.security.defaultRootPasswordFile"
    assert path == f"/run/credentials/{unit.path.name}/{credential}"
    assert source in PAGE
    assert not Unit("vecguard-proxy").all("LoadCredential")


def test_units_leave_more_time_to_stop_than_the_services_take() -> None:
    settings = Settings()
    proxy, root_coord = (int(Unit(each)["TimeoutStopSec"]) for each in SERVICES)
    assert proxy > settings.proxy.drain_timeout + 10
    # Handing over, and then draining.
    assert root_coord > 2 * settings.root_coord.drain_timeout


def test_descriptors_suffice_for_all_connections() -> None:
    settings = Settings()
    proxy, root_coord = (int(Unit(each)["LimitNOFILE"]) for each in SERVICES)
    assert proxy > 2 * settings.proxy.connections.max
    assert root_coord > 2 * settings.root_coord.max_connections


def test_useless_configuration_is_not_tried_again(unit: Unit) -> None:
    assert unit["Restart"] == "on-failure"
    assert unit["RestartPreventExitStatus"] == str(EXIT_CONFIGURATION)


def test_each_service_has_its_own_user_and_secrets() -> None:
    proxy, root_coord = map(Unit, SERVICES)
    for directive in ("User", "Group", "EnvironmentFile"):
        assert proxy[directive] != root_coord[directive]
    for unit in (proxy, root_coord):
        assert unit["Group"] == unit["User"]
        assert not unit.all("SupplementaryGroups")
    # Root coord writes no file.
    assert not root_coord.all("LogsDirectory")


def test_users_of_the_units_are_created(unit: Unit) -> None:
    lines = [
        tuple(line.split()[:3])
        for line in (UNITS / "vecguard.conf").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert ("g", COMMON, "-") in lines
    assert ("u", unit["User"], "-") in lines
    assert ("m", unit["User"], COMMON) in lines
    assert len(lines) == 1 + 2 * len(SERVICES)


def test_the_page_installs_no_key_for_both_services() -> None:
    """By the words of the commands. A test below runs them, where this machine allows it."""
    installed = re.findall(r"install (?:-d )?-m (\d+) -g (\S+) (.+)", PAGE)
    assert {group for _, group, _ in installed} == {COMMON, *SERVICES}
    for mode, group, words in installed:
        *sources, target = words.split()
        assert int(mode, 8) & 0o027 == 0, words
        assert group in (COMMON, f"{COMMON}-{Path(target).name}")
        assert group != COMMON or all(each.endswith("ca.pem") for each in sources)


#: Shows what a user can read. In /, because not every user may open the checkout.
LOOK = "env --chdir=/ runuser -u "
#: Commands that need neither systemd as the first process nor the network.
RUNS_HERE = (
    "install ",
    "systemd-sysusers",
    f"{INSTALLED}vecguard certs ",
    "chgrp ",
    "chmod ",
    "touch ",
    LOOK,
)
#: The copy is in memory, in a mount namespace: real users and files, which end with the shell.
OWN_ETC = (
    "mkdir etc; mount -t tmpfs tmpfs etc; cp -a /etc/. etc; rm -rf etc/vecguard; "
    "mount --bind etc /etc"
)
#: What a service can read in /etc/vecguard.
BOTH_READ = {"ca.pem", "internal-ca.pem", "vecguard.yaml"}
READABLE = {
    "vecguard-proxy": BOTH_READ
    | {
        "proxy/server.pem",
        "proxy/server.key",
        "proxy/internal-client.pem",
        "proxy/internal-client.key",
    },
    "vecguard-root-coord": BOTH_READ
    | {"root-coord/internal-server.pem", "root-coord/internal-server.key"},
}


def steps_that_run_here() -> list[str]:
    """The commands of the page in its order, and the writing of the first configuration."""
    found: list[str] = []
    for block in blocks(PAGE_FILE):
        if block.text == documented_files()[0]:
            found.append(f"cat documented.yaml > {CONFIGURATION}")
        found += [each.text for each in commands(block) if each.text.startswith(RUNS_HERE)]
    return found


@pytest.fixture(scope="module")
def reads(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `find` says to each service, where the page runs it."""
    for program in ("unshare", "systemd-sysusers", "runuser"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian: systemd, util-linux)")
    directory = tmp_path_factory.mktemp("machine")
    own_mounts = ("unshare", "--mount", "bash", "-euc")
    if run(*own_mounts, "mount -t tmpfs tmpfs .", cwd=directory).returncode:
        pytest.skip("making users needs root, and the right to mount a copy of /etc")
    (directory / "deploy").symlink_to(ROOT / "deploy")
    (directory / "documented.yaml").write_text(documented_files()[0])
    script = ["export LC_ALL=C", OWN_ETC]
    for step in steps_that_run_here():
        here = step.replace(INSTALLED, f"{Path(sys.executable).parent}/")
        if step.startswith(LOOK):
            # `find` fails at what the service may not open.
            output = step.removeprefix(LOOK).split()[0]
            here = f"({here} || true) > {output} 2>&1"
        script.append(here)
    done = run(*own_mounts, "\n".join(script), cwd=directory)
    assert done.returncode == 0, done.stderr
    return {each: (directory / each).read_text() for each in SERVICES}


def test_after_the_commands_of_the_page_each_service_reads_its_own_files_only(
    reads: dict[str, str], name: str
) -> None:
    """The commands run as written, except for where the programs are."""
    (other,) = set(SERVICES) - {name}
    lines = reads[name].splitlines()
    refused = [line for line in lines if "Permission denied" in line]
    found = {line.removeprefix("/etc/vecguard/") for line in lines if line not in refused}
    assert found == READABLE[name]
    assert len(refused) == 1
    assert f"/etc/vecguard/{other.removeprefix('vecguard-')}" in refused[0]


@pytest.mark.parametrize(
    ("line", "password"),
    [("", "None"), ("VECGUARD__ETCD__AUTH__PASSWORD='a $HOME\"\\#;b'\n", 'a $HOME"\\#;b')],
    ids=["empty", "special characters"],
)
def test_doctor_gets_the_secrets_of_root_coord_and_the_shell_does_not(
    tmp_path: Path, line: str, password: str
) -> None:
    """The command as written, with a program in place of doctor that prints the password."""
    secrets = Unit("vecguard-root-coord")["EnvironmentFile"].removeprefix("-")
    (command,) = (
        each.text
        for block in blocks(PAGE_FILE)
        for each in commands(block)
        if f"{INSTALLED}vecguard doctor" in each.text
    )
    (tmp_path / "root-coord.env").write_text(line)
    program = tmp_path / "vecguard"
    program.write_text(
        f"#!{sys.executable}\nimport os\nprint(os.environ.get('VECGUARD__ETCD__AUTH__PASSWORD'))\n"
    )
    program.chmod(0o755)
    assert secrets in command
    here = command.replace(secrets, str(tmp_path / "root-coord.env"))
    here = here.replace(f"{INSTALLED}vecguard", str(program))
    clean = {key: each for key, each in os.environ.items() if not key.startswith("VECGUARD")}
    done = run("sh", "-euc", f"{here}; {program}", env=clean)
    assert done.stdout.splitlines() == [password, "None"], done.stderr


def test_the_files_of_the_documented_settings_are_those_that_a_service_can_read() -> None:
    readable = set.union(*READABLE.values())
    for text in documented_files():
        assert set(re.findall(r"/etc/vecguard/(\S+)", text)) <= readable


def test_audit_log_of_the_page_is_where_the_proxy_may_write(tmp_path: Path) -> None:
    file = tmp_path / "vecguard.yaml"
    file.write_text(documented_files()[0])
    output = Path(load_settings(file, {}).audit.output)
    assert output.parent == Path("/var/log") / Unit("vecguard-proxy")["LogsDirectory"]


def test_page_names_files_that_the_units_read(unit: Unit) -> None:
    assert CONFIGURATION in PAGE
    sources = [each.partition(":")[2] for each in unit.all("LoadCredential")]
    for secret in (unit["EnvironmentFile"].removeprefix("-"), *sources):
        assert re.search(rf"chmod 600 .*{secret}\b", PAGE)


def test_commands_of_the_page_are_those_of_the_checkout(tmp_path: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for used in re.findall(r"'\.\[([a-z,]+)\]'", PAGE):
        assert set(used.split(",")) <= set(extras["optional-dependencies"])
    # The compiler empties its folder first, so it must not be the environment's.
    ((option, folder),) = re.findall(r"-m deploy\.compile (--[a-z-]+) (\S+)", PAGE)
    assert folder.startswith("build/")
    assert f"cp -r {folder}/. " in PAGE
    done = run(sys.executable, "-m", "deploy.compile", "--help", cwd=ROOT)
    assert option in done.stdout
    for path in re.findall(r"deploy/systemd/[\w.-]+\w", PAGE):
        assert (ROOT / path).exists()
