"""The real root coord with failpoints, and with a seeded bug if one is asked for."""

import os
from pathlib import Path

from tests.chaos import failpoints, seeded, task_dump
from vecguard.root_coord.__main__ import main

if __name__ == "__main__":
    task_dump.install()
    failpoints.install(failpoints.FailpointDirectory(Path(os.environ[failpoints.VARIABLE])))
    seeded.apply_from_environment()
    main()
