"""Bugs on purpose and failpoints find what they replace. What they do, the campaign shows."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "code",
    [
        "from tests.chaos import seeded\nfor bug in seeded._BUGS.values(): bug()",
        "from tests.chaos.failpoints import *\ninstall(FailpointDirectory(Path('unused')))",
    ],
    ids=["bugs", "failpoints"],
)
def test_what_is_replaced_is_there(code):
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
