"""Builds our images with the container engine of this machine.

With Docker, or podman that reaches a registry, nothing here is special. What is special is a
machine without a registry: the base image is then made by debootstrap, and etcd's from the
program that the tests use anyway. `VECGUARD_TEST_BASE_IMAGE` names a base that is there already.

`VECGUARD_CONTAINERS` says which engine: unset, the one that answers, and tests are skipped if
none does; `docker` or `podman`, that one, and tests fail without it (podman is installed if this
is root on Debian); `off`, none.

`VECGUARD_TEST_COMPILED=1` builds them with compiled modules, as `make image` does. Not by default:
a compiler and a minute or two for every changed source file.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Final

from deploy.local.etcd_binary import find_etcd_binary
from tests.support.debian_packages import program_of
from tests.support.leftover_containers import claim_containers
from tests.support.podman_installation import can_install_podman, install_podman
from vecguard.errors import VecguardError

CHECKOUT: Final = Path(__file__).parents[2]
DOCKERFILE: Final = CHECKOUT / "deploy" / "docker" / "Dockerfile"

_WORKSHOP: Final = CHECKOUT / "build" / "containers"
_OFFICIAL_BASE: Final = "docker.io/library/python:3.12-slim"
_OWN_BASE: Final = "localhost/vecguard-test-base:bookworm"
# Without a host in front, podman would look for it in a registry.
_NAME_PREFIX: Final = "localhost/vecguard-"
_TAG: Final = "test"
_ENGINE_VARIABLE: Final = "VECGUARD_CONTAINERS"
_COMPILED_VARIABLE: Final = "VECGUARD_TEST_COMPILED"
_PROGRAMS: Final = ("docker", "podman")
#: Of the second tag, which says what an image was made of, so that it is not made again of
#: the same. Not a label: podman's cache gives back an image with the label of another build.
_DIGEST_LENGTH: Final = 16
_IGNORE: Final = CHECKOUT / ".dockerignore"
#: Of this process, for as long as it lives.
_claims: Final[list[IO[bytes]]] = []
_BUILD_SECONDS: Final = 900
_SHORT_SECONDS: Final = 60
#: Where Debian's OpenSSL looks, and pip with it.
_CA_BUNDLE: Final = "/etc/ssl/certs/ca-certificates.crt"


class NoContainersError(VecguardError):
    """Containers cannot run here; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Images:
    """The names of our images in the engine."""

    proxy: str
    root_coord: str
    cli: str
    milvus_lite: str
    etcd: str


@dataclass(frozen=True, slots=True)
class Engine:
    """A container engine that answers requests.

    Attributes:
        program: docker or podman.
        environment: what its processes get.
    """

    program: str
    environment: Mapping[str, str]

    @property
    def is_podman(self) -> bool:
        return self.program == "podman"

    def run(self, *arguments: str, timeout_seconds: float = _SHORT_SECONDS) -> str:
        """Runs the engine and returns its output.

        Raises:
            NoContainersError: it failed, or took too long.
        """
        try:
            done = subprocess.run(
                (self.program, *arguments),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_seconds,
                check=True,
            )
        except subprocess.CalledProcessError as error:
            said = "\n".join((error.stdout + error.stderr).splitlines()[-20:])
            raise NoContainersError(f"{self.program} {arguments[0]} failed:\n{said}") from error
        except subprocess.TimeoutExpired as error:
            raise NoContainersError(
                f"{self.program} {arguments[0]} took more than {timeout_seconds:g} s"
            ) from error
        return done.stdout.strip()

    def has_image(self, name: str) -> bool:
        return bool(self.run("images", "--quiet", name))

    def build(self, dockerfile: Path, context: Path, tag: str, *options: str, digest: str) -> None:
        """Builds one image unless it exists with this digest. Raises NoContainersError.

        Args:
            dockerfile: how it is made.
            context: where it finds its sources.
            tag: its name.
            options: of the engine's build.
            digest: stands for everything that goes into it.
        """
        made_of = f"{tag.rpartition(':')[0]}:made-of-{digest[:_DIGEST_LENGTH]}"
        before = self._identity(tag)
        if before and before == self._identity(made_of):
            return
        self.run(
            *("build", "--file", str(dockerfile), "--tag", tag, "--tag", made_of),
            *(*self._build_options(), *options),
            str(context),
            timeout_seconds=_BUILD_SECONDS,
        )
        # The engine's cache may have given the very same image again.
        if before and before != self._identity(tag):
            # Refused while a container is made of it, or when it has more than one name.
            with contextlib.suppress(NoContainersError):
                self.run("rmi", before)

    def _identity(self, name: str) -> str:
        return self.run("images", "--quiet", "--no-trunc", name)

    def _build_options(self) -> Sequence[str]:
        if not self.is_podman:
            return ()
        own_bundle = os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT")
        # Machines that reach the package index only through their own CA set this variable.
        return ("--network", "host") + (
            ("--volume", f"{own_bundle}:{_CA_BUNDLE}:ro") if own_bundle else ()
        )


@cache
def find_engine() -> Engine:
    """Returns the requested engine, or Docker if its daemon answers, else podman.

    Raises:
        NoContainersError: there is none.
    """
    wanted = os.environ.get(_ENGINE_VARIABLE, "")
    if wanted not in ("", "off", *_PROGRAMS):
        raise NoContainersError(f"{_ENGINE_VARIABLE} is {wanted}; write docker, podman or off")
    if wanted == "off":
        raise NoContainersError(f"{_ENGINE_VARIABLE} is off")
    if wanted == "podman" and shutil.which("podman") is None and can_install_podman():
        _install_podman()
    said = []
    for program in (wanted,) if wanted else _PROGRAMS:
        if shutil.which(program) is None:
            said.append(f"{program} is not installed")
            continue
        engine = Engine(program, _environment(program))
        try:
            engine.run("info")
        except NoContainersError as error:
            said.append(error.message.splitlines()[-1])
        else:
            if engine.is_podman:
                _claims.append(claim_containers(engine.run, _NAME_PREFIX))
            return engine
    raise NoContainersError("no container engine: " + "; ".join(said))


def is_required() -> bool:
    """Returns whether `VECGUARD_CONTAINERS` names an engine, so that its absence is a failure."""
    return os.environ.get(_ENGINE_VARIABLE, "") not in ("", "off")


def are_compiled() -> bool:
    """Returns whether to build images with compiled modules."""
    return os.environ.get(_COMPILED_VARIABLE, "") not in ("", "0")


@cache
def build_images() -> Images:
    """Builds every image once per process, and returns their names.

    Raises:
        NoContainersError: there is no engine, or an image cannot be built.
    """
    engine = find_engine()
    base = _base_image(engine)
    recipe = (DOCKERFILE.read_bytes(), engine.run("images", "--quiet", "--no-trunc", base).encode())
    compiled = "1" if are_compiled() else "0"
    ours = _digest(*recipe, compiled.encode(), *_source_bytes())
    for target, digest in (
        *(("proxy", ours), ("root-coord", ours), ("cli", ours)),
        ("milvus-lite", _digest(*recipe)),
    ):
        engine.build(
            *(DOCKERFILE, CHECKOUT, _name(target)),
            *("--target", target, "--build-arg", f"BASE_IMAGE={base}"),
            *("--build-arg", f"COMPILED={compiled}"),
            digest=digest,
        )
    _build_etcd(engine, base)
    return Images(
        proxy=_name("proxy"),
        root_coord=_name("root-coord"),
        cli=_name("cli"),
        milvus_lite=_name("milvus-lite"),
        etcd=_name("etcd"),
    )


@cache
def build_prometheus() -> str | None:
    """Builds an image like the official one from Debian's program; None without that program.

    Raises:
        NoContainersError: there is no engine, or the image cannot be built.
    """
    program = program_of("prometheus", "usr/bin/prometheus")
    if program is None:
        return None
    engine = find_engine()
    base = _base_image(engine)
    recipe = (
        f"FROM {base}\nCOPY prometheus /bin/prometheus\n"
        "RUN mkdir /prometheus && chown 65534:65534 /prometheus\nUSER 65534:65534\n"
        'VOLUME /prometheus\nENTRYPOINT ["/bin/prometheus"]\n'
    )
    _build_of_program(engine, "prometheus", program, recipe)
    return _name("prometheus")


@contextlib.contextmanager
def variables_for_testcontainers() -> Iterator[Mapping[str, str]]:
    """Yields the variables with which testcontainers finds the engine; podman serves its API.

    Raises:
        NoContainersError: there is no engine.
    """
    engine = find_engine()
    if not engine.is_podman:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="vecguard-podman-") as folder:
        socket = Path(folder) / "docker.sock"
        service = subprocess.Popen(
            ("podman", "system", "service", "--time=0", f"unix://{socket}"),
            env=engine.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + _SHORT_SECONDS
            while not socket.exists():
                if service.poll() is not None or time.monotonic() > deadline:
                    raise NoContainersError("podman does not serve its API")
                time.sleep(0.02)
            yield {
                "DOCKER_HOST": f"unix://{socket}",
                # Its helper container cannot be pulled without a registry; tests clean up.
                "TESTCONTAINERS_RYUK_DISABLED": "true",
                "TESTCONTAINERS_CONNECTION_MODE": "docker_host",
                "TESTCONTAINERS_HOST_OVERRIDE": "127.0.0.1",
            }
        finally:
            service.terminate()
            service.wait(timeout=_SHORT_SECONDS)


def _name(target: str) -> str:
    return f"{_NAME_PREFIX}{target}:{_TAG}"


def _environment(program: str) -> Mapping[str, str]:
    environment = dict(os.environ)
    version_2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    if program == "podman" and not version_2 and "CONTAINERS_CONF" not in environment:
        # With cgroups of version 1, and without systemd, only this combination works.
        _WORKSHOP.mkdir(parents=True, exist_ok=True)
        configuration = _WORKSHOP / "containers.conf"
        configuration.write_text(
            "[containers]\n"
            'default_ulimits = ["nofile=16384:16384", "nproc=32768:32768"]\n'
            "[engine]\n"
            'cgroup_manager = "cgroupfs"\n'
            'events_logger = "file"\n'
            'runtime = "runc"\n'
        )
        environment["CONTAINERS_CONF"] = str(configuration)
    return environment


def _base_image(engine: Engine) -> str:
    named = os.environ.get("VECGUARD_TEST_BASE_IMAGE")
    if named:
        return named
    for image in (_OFFICIAL_BASE, _OWN_BASE):
        if engine.has_image(image):
            return image
    try:
        engine.run("pull", _OFFICIAL_BASE, timeout_seconds=_BUILD_SECONDS)
    except NoContainersError as error:
        return _bootstrapped(engine, error)
    return _OFFICIAL_BASE


def _bootstrapped(engine: Engine, no_registry: NoContainersError) -> str:
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        raise NoContainersError(
            f"{_OFFICIAL_BASE} cannot be pulled, and making a base needs debootstrap and root; "
            f"or name one by VECGUARD_TEST_BASE_IMAGE.\n{no_registry.message}"
        )
    _WORKSHOP.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="base-", dir=_WORKSHOP) as folder:
        tree, archive = Path(folder) / "tree", Path(folder) / "tree.tar"
        _checked(
            *("debootstrap", "--variant=minbase"),
            *("--include=python3,python3-venv,ca-certificates", "bookworm", str(tree)),
        )
        _checked("tar", "-C", str(tree), "--exclude=./var/cache/apt", "-cf", str(archive), ".")
        engine.run("import", str(archive), _OWN_BASE, timeout_seconds=_BUILD_SECONDS)
    return _OWN_BASE


def _checked(*command: str) -> None:
    try:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_BUILD_SECONDS,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise NoContainersError(f"{command[0]} failed:\n{error.stderr[-2000:]}") from error


def _build_etcd(engine: Engine, base: str) -> None:
    """Builds an image like the official one: the program on the path, no entry point."""
    recipe = f'FROM {base}\nCOPY etcd /usr/local/bin/etcd\nUSER 10001:10001\nCMD ["etcd"]\n'
    _build_of_program(engine, "etcd", find_etcd_binary(""), recipe)


def _build_of_program(engine: Engine, name: str, program: Path, recipe: str) -> None:
    with tempfile.TemporaryDirectory(prefix=f"vecguard-{name}-") as folder:
        context = Path(folder)
        shutil.copy(program, context / name)
        dockerfile = context / "Dockerfile"
        dockerfile.write_text(recipe)
        digest = _digest(dockerfile.read_bytes(), program.read_bytes())
        engine.build(dockerfile, context, _name(name), digest=digest)


def _source_bytes() -> Iterator[bytes]:
    let_in = (line[1:] for line in _IGNORE.read_text().splitlines() if line.startswith("!"))
    for path in (CHECKOUT / source for source in let_in):
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                yield str(file.relative_to(CHECKOUT)).encode()
                yield file.read_bytes()


def _digest(*parts: bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big"))
        whole.update(part)
    return whole.hexdigest()


def _install_podman() -> None:
    try:
        install_podman()
    except subprocess.SubprocessError as error:
        said = str(getattr(error, "stderr", "") or error).strip()
        raise NoContainersError(f"podman cannot be installed:\n{said[-2000:]}") from error
