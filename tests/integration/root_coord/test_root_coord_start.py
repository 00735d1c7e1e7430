import asyncio
import os
import sys
from pathlib import Path

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
        *(sys.executable, "-m", "services.root_coord"),
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
