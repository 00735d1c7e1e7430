import asyncio
import dataclasses
import os
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from deploy.local.ports import Ports
from deploy.local.stack import LocalStack
from tests.e2e.stacks import clean_environment
from tests.support.waiting import eventually

CHECKOUT = Path(__file__).resolve().parents[3]


async def start_with(etcd, **settings):
    """How a root coord that cannot start ends."""
    environment = {
        **os.environ,
        "VECGUARD__ETCD__ENDPOINTS": etcd.endpoint,
        "VECGUARD__ETCD__ROOTPATH": "start",
        "VECGUARD__ROOTCOORD__PORT": "0",
        "VECGUARD__ROOTCOORD__OPERATIONS__PORT": "0",
        **settings,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "vecguard.root_coord"),
        cwd=CHECKOUT,
        env=environment,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(20):
            _, log = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, log.decode()


async def test_an_unreadable_password_file_stops_the_start(etcd):
    code, log = await start_with(
        etcd, VECGUARD__COMMON__SECURITY__DEFAULTROOTPASSWORDFILE="/nonexistent"
    )
    assert code == 2
    assert "defaultRootPasswordFile" in log
    assert "elected" not in log


async def test_a_first_password_that_breaks_the_rules_stops_the_start_and_is_not_shown(etcd):
    code, log = await start_with(etcd, VECGUARD__COMMON__SECURITY__DEFAULTROOTPASSWORD="zq7ß")
    assert code == 2
    assert "defaultRootPassword" in log
    assert "out of range 6" in log
    assert "zq7" not in log


async def test_a_first_password_with_nul_stops_the_start(etcd, tmp_path):
    file = tmp_path / "password"
    file.write_bytes(b"zq7\0zq7")
    code, log = await start_with(
        etcd, VECGUARD__COMMON__SECURITY__DEFAULTROOTPASSWORDFILE=str(file)
    )
    assert code == 2
    assert "defaultRootPasswordFile" in log
    assert "(U+0000)" in log
    assert "zq7" not in log.replace(str(file), "")


@pytest.mark.parametrize(("ip", "lines"), [("0.0.0.0", 1), ("127.0.0.1", 0)])
async def test_a_port_that_is_open_without_tls_is_a_warning(etcd, ip, lines):
    _, log = await start_with(
        etcd,
        VECGUARD__ROOTCOORD__IP=ip,
        VECGUARD__COMMON__SECURITY__DEFAULTROOTPASSWORDFILE="/nonexistent",
    )
    assert log.count("root coord's port is open to the network without TLS") == lines


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"ADVERTISEDADDRESS": "root-coord-0.root-coord:53100"}, "root-coord-0.root-coord:53100"),
        ({"IP": "0.0.0.0"}, f"{socket.gethostname()}:{{port}}"),
        ({}, "127.0.0.1:{port}"),
    ],
)
async def test_a_standby_tells_where_the_active_one_is(tmp_path, settings, told):
    stack = LocalStack(
        tmp_path,
        ports=Ports.free(proxies=1, root_coords=2),
        environment=clean_environment(),
    )
    stack._prepare()
    active, standby = stack.root_coords
    # Of the active one alone: its own address in etcd would be its own key of an earlier term.
    own_settings = {f"VECGUARD__ROOTCOORD__{name}": value for name, value in settings.items()}
    environment = {**active.program.environment, **own_settings}
    active.program = dataclasses.replace(active.program, environment=environment)
    own = stack.ports.root_coords[0]
    try:
        await stack.etcd.start()
        await stack.etcd.wait_ready()
        await active.start()
        await eventually(active.is_active, timeout_seconds=20)
        await standby.start()
        await standby.wait_ready()
        async with aiohttp.ClientSession(f"http://{standby.operations_address}") as client:

            async def is_told():
                async with client.get("/readyz") as answer:
                    said = (await answer.json())["checks"]["role"]["message"]
                return said.endswith(f"the active one is {told.format(port=own.internal)}")

            await eventually(is_told, timeout_seconds=20)
    finally:
        await stack.stop()
