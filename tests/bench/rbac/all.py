"""All benchmarks of roles, one after the other. Keys `rbac.*`."""

import asyncio
import os
import sys
from pathlib import Path

from deploy.local.stack import CHECKOUT
from tests.bench.peers.vecguard import COMPILED, has_compiled
from tests.bench.processes import SERVER_CORE, children_on
from tests.bench.rbac import changes, relayed
from tests.bench.report import Report


async def run(report: Report, *, compiled: Path = COMPILED) -> None:
    await _decision(report, "rbac", CHECKOUT)
    if has_compiled(compiled):
        await _decision(report, "rbac.compiled", compiled)
    else:
        report.leave_out("rbac.compiled.*", "nothing is compiled; run `make compile`")
    await relayed.run(report, compiled=compiled)
    await changes.run(report)


async def _decision(report: Report, name: str, directory: Path) -> None:
    """In a process of its own, which imports the modules below a directory first."""
    environment = {**os.environ, "PYTHONPATH": f"{directory}{os.pathsep}{CHECKOUT}"}
    with children_on(SERVER_CORE):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.rbac.decision"),
            cwd=directory,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
        )
    output, _ = await process.communicate()
    kind, _, microseconds = output.decode().rpartition(": ")
    assert process.returncode == 0
    assert kind == ("from the sources" if directory == CHECKOUT else "compiled"), kind
    report.add(f"{name}.decision_us", float(microseconds))
