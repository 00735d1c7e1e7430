"""The real proxy, with a seeded bug if one is asked for."""

from services.proxy.__main__ import main
from tests.chaos import seeded, task_dump

if __name__ == "__main__":
    task_dump.install()
    seeded.apply_from_environment()
    main()
