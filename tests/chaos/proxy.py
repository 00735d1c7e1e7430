"""The real proxy, with a seeded bug if one is asked for."""

from tests.chaos import seeded, task_dump
from vecguard.proxy.__main__ import main

if __name__ == "__main__":
    task_dump.install()
    seeded.apply_from_environment()
    main()
