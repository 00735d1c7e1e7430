"""The pymilvus lines of docs/tls.md, run as they stand there."""

import asyncio
import os
import re

import pytest

from deploy.local.stack import CHECKOUT
from tests.e2e.scenario import Pymilvus
from tests.e2e.tls import TlsStack

pytestmark = pytest.mark.asyncio(loop_scope="session")

IMPORT = "from pymilvus import MilvusClient\n"
BLOCKS = re.findall(r"```python\n(.*?)```", (CHECKOUT / "docs" / "tls.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("number", [0, 1], ids=["mode 1", "mode 2"])
async def test_the_lines_of_the_manual_connect(
    number: int, pymilvus: Pymilvus, one_way: TlsStack, mutual: TlsStack
):
    assert len(BLOCKS) == 2
    stack, block = (one_way, mutual)[number], BLOCKS[number]
    code = IMPORT + block + "\nprint(client.list_users())"
    for example, here in (
        ("milvus.example.com:19530", stack.address),
        ("milvus.example.com", "localhost"),
        ('"certs/', f'"{stack.certs}/'),
    ):
        assert example in code
        code = code.replace(example, here)
    process = await asyncio.create_subprocess_exec(
        *(pymilvus.python, "-c", code),
        env=os.environ | {"NO_PROXY": "*", "no_proxy": "*"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()

    assert output.decode() == "['root']\n"
