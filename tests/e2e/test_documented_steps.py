"""The commands and programs of the pages, run in order and as written, on the usual ports."""

import asyncio
import dataclasses
import os
import shlex
import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import pytest

from deploy.local.etcd_binary import find_etcd_binary
from deploy.local.process import Process, Program
from deploy.local.readiness import Probe, decides_logins, http_ok, speaks_http2
from tests.e2e.scenario import VERSIONS
from tests.e2e.stacks import clean_environment
from tests.support.documented_commands import CHECKOUT, FOLLOWED, Section
from tests.support.documented_steps import PYTHON, Block, Command, commands
from tests.support.network_namespace import run_in_own_network
from tests.support.python_session import PythonSession
from tests.support.shell_session import ShellSession

GOOD_PASSWORD = "a-good-password"
ENVIRONMENT = clean_environment() | {
    # `etcd` of the virtual environment is a script that starts the program.
    "PATH": f"{find_etcd_binary().parent}:{CHECKOUT / '.venv' / 'bin'}:{os.environ['PATH']}",
    "TERM": "xterm",
    "NO_COLOR": "1",
    "NO_PROXY": "*",
    "no_proxy": "*",
}
#: What the pages leave to the reader, and what stands there in these tests.
FILLED = {
    # The virtual environment stands; what would fill it cannot be reached from this network.
    "make run": f"make -C {CHECKOUT} -o .venv/.ready run RUN_ARGS=\"--data-dir '$PWD/data'\"",
    "/etc/vecguard/root-password": "root-password",
    "https://milvus.example.com:": "https://localhost:",
}
#: What a reader has before a page begins.
PREPARED = {
    "docs/index.md": (f"echo {GOOD_PASSWORD} > root-password",),
    "docs/cli.md": (
        f"old={GOOD_PASSWORD} new=another-good-password",
        f"echo {GOOD_PASSWORD} > alice.txt",
        # They expire so soon that `certs renew` renews them.
        "vecguard certs init --days 20 --force",
    ),
    "docs/tls.md": ("milvus-lite server --data-dir my.db --host 127.0.0.1 --port 19540",),
    "docs/metrics.md": (f"ln -s {CHECKOUT / 'deploy'} deploy",),
}
#: What a reader types at the prompts.
ANSWERS = {
    r"New password of \w+(, again)?: ": GOOD_PASSWORD,
    r"Password of alice: ": GOOD_PASSWORD,
    r"Replace the password of root .*\? \[y/N\]: ": "y",
}
ROOT_PASSWORD = {"make run": "Milvus", "one machine": "another-good-password", "mutual TLS": ""}
#: How docs/roles.md sets what the proxies need for its examples and for those of docs/cli.md.
METHOD_ROLES = "export VECGUARD__PROXY__METHODROLES="
#: Milvus Lite has no TLS.
SETTINGS = {"mutual TLS": {"VECGUARD__BACKEND__TLS__ENABLED": "false"}}
#: docs/tls.md configures mode 2, and shows how to connect in each mode.
MODES = {"client_pem_path": "2", "server_pem_path": "1"}
MODE = "VECGUARD__COMMON__SECURITY__TLSMODE"
PROXY = "vecguard-proxy"
LINES_SHOWN = 60


def readiness(folder: Path) -> dict[str, Probe]:
    """How the commands begin that run until the end of a test, and when each is ready."""

    def trusting() -> ssl.SSLContext:
        certs = folder / "certs"
        context = ssl.create_default_context(cafile=certs / "internal-ca.pem")
        context.load_cert_chain(certs / "etcd-client.pem", certs / "etcd-client.key")
        return context

    return {
        "make run": decides_logins(9091),
        "milvus-lite server ": speaks_http2(19540),
        "etcd --data-dir ": http_ok(2379, "/health"),
        "etcd --cert-file ": http_ok(2379, "/health", tls=trusting),
        "vecguard-root-coord ": http_ok(9092, "/readyz"),
        PROXY: decides_logins(9091),
    }


class Reader:
    """Follows pages in a folder of its own: one shell, one Python, servers in the background."""

    def __init__(self, name: str, folder: Path) -> None:
        self._folder = folder
        self._environment = ENVIRONMENT | SETTINGS.get(name, {}) | method_roles()
        self._answers = ANSWERS | {r"Password of root: ": ROOT_PASSWORD[name]}
        self._interpreters = VERSIONS if name == "mutual TLS" else VERSIONS[:1]
        self._probes = readiness(folder)
        self._servers: dict[str, Process] = {}
        self._programs: set[str] = set()
        self._mode = "2"
        self._log: list[str] = []
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            self._shell = self._open.enter_context(
                ShellSession(self._folder, self._environment, self._answers)
            )
            self._pythons = [
                await self._open.enter_async_context(
                    PythonSession(each.python, self._folder, self._environment)
                )
                for each in self._interpreters
            ]
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._open.aclose()
        if error is not None:
            error.add_note("\n".join(self._log[-LINES_SHOWN:]))

    async def follow(self, section: Section) -> None:
        for text in PREPARED.get(section.page, ()):
            await self._run(Command(text))
        for block in section.blocks():
            if block.title:
                (self._folder / block.title).write_text(filled(block.text))
            elif block.language == PYTHON:
                await self._execute(block)
            for command in filter(section.runs, commands(block)):
                await self._run(command)

    async def _run(self, command: Command) -> None:
        server = next((each for each in self._probes if command.text.startswith(each)), None)
        if server is None:
            await asyncio.to_thread(self._shell.run, command)
        # Several pages begin with `make run`.
        elif server not in self._servers:
            await self._serve(server, command.text)

    async def _serve(self, name: str, text: str) -> None:
        program = Program(
            name=name.strip(),
            argv=("/bin/bash", "-c", f"exec {filled(text)}"),
            environment=self._environment,
            directory=self._folder,
            ready=self._probes[name],
            start_seconds=60,
        )
        await self._start(name, program)

    async def _start(self, name: str, program: Program) -> None:
        server = Process(program, lambda name, line: self._log.append(f"{name}: {line}"))
        self._servers[name] = server
        self._open.push_async_callback(server.stop)
        await server.start()
        await server.wait_ready()

    async def _execute(self, block: Block) -> None:
        # README and the quickstart begin with the same program.
        if block.text in self._programs:
            return
        self._programs.add(block.text)
        mode = next((mode for text, mode in MODES.items() if text in block.text), None)
        if mode not in (None, self._mode):
            await self._restart_proxy({MODE: mode})
            self._mode = mode
        for python in self._pythons:
            await python.run(filled(block.text))

    async def _restart_proxy(self, settings: Mapping[str, str]) -> None:
        before = self._servers[PROXY]
        await before.stop()
        program = before.program
        environment = {**program.environment, **settings}
        await self._start(PROXY, dataclasses.replace(program, environment=environment))


def method_roles() -> dict[str, str]:
    (text,) = (
        command.text
        for block in Section("docs/roles.md").blocks()
        for command in commands(block)
        if command.text.startswith(METHOD_ROLES)
    )
    return dict([shlex.split(text)[1].split("=", 1)])


def filled(text: str) -> str:
    for left_open, value in FILLED.items():
        text = text.replace(left_open, value)
    return text


@pytest.mark.long
@pytest.mark.parametrize("name", FOLLOWED)
def test_pages_work_as_written(name: str, tmp_path: Path):
    async def follow() -> None:
        async with Reader(name, tmp_path) as reader:
            for section in FOLLOWED[name]:
                await reader.follow(section)

    run_in_own_network(follow)
