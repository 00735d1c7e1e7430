"""Every bug on purpose finds what it replaces. That each one is noticed, the campaign shows."""

import subprocess
import sys
from pathlib import Path


def test_every_bug_finds_the_guard_that_it_takes_away():
    code = "from tests.chaos import seeded\nfor bug in seeded._BUGS.values(): bug()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
