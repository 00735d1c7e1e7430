from pathlib import Path

import pytest

from tests.e2e.scenario import Pymilvus
from tests.e2e.stacks import running_stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_standby_takes_over_when_the_active_root_coord_stops(
    tmp_path: Path, any_pymilvus: Pymilvus
):
    login = {"user": "root", "password": "Milvus"}
    async with running_stack(tmp_path, root_coords=2) as stack:
        address = stack.proxies[0].address
        first = await stack.active_root_coord()
        await any_pymilvus.run("connect", address=address, **login)
        await first.stop()
        second = await stack.active_root_coord()
        await any_pymilvus.run("connect", address=address, **login)
        await first.restart()

        assert {first, second} == set(stack.root_coords)
        assert await stack.active_root_coord() is second
        assert not await first.is_active()
