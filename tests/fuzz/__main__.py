"""Runs each target under atheris for a while: `python -m tests.fuzz --seconds 60 [target ...]`.

Each target has a process of its own, as libFuzzer ends its process. Inputs that found new paths
stay in build/fuzz/<target>/ for the next run; one that broke it is beside them as crash-*.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from tests.fuzz.seeds import SEEDS

_OUTPUT = Path("build/fuzz")
_INPUT_SECONDS = 10
_INPUT_BYTES = 4096
_MEMORY_MEBIBYTES = 1024


def main() -> int:
    """Ends with 1 when a target was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("targets", nargs="*", help="all, if none is named")
    arguments = parser.parse_args()
    if arguments.one:
        _fuzz(arguments.one, arguments.seconds)
    broken = [
        name
        for name in arguments.targets or SEEDS
        if subprocess.run(
            [
                *(sys.executable, "-m", "tests.fuzz"),
                *("--one", name, "--seconds", str(arguments.seconds)),
            ],
            check=False,
        ).returncode
    ]
    print("broken: " + ", ".join(broken) if broken else "nothing was broken")
    return 1 if broken else 0


def _fuzz(name: str, seconds: int) -> None:
    # Imported here: only `make fuzz` installs it.
    import atheris  # noqa: PLC0415 - see above

    with atheris.instrument_imports(include=["vecguard"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - only now it is instrumented

    corpus = _OUTPUT / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = {
        "max_total_time": seconds,
        "timeout": _INPUT_SECONDS,
        "max_len": _INPUT_BYTES,
        "rss_limit_mb": _MEMORY_MEBIBYTES,
        "print_final_stats": 1,
        "verbosity": 0,
        "artifact_prefix": f"{corpus}/",
    }
    atheris.Setup(
        [sys.argv[0], *(f"-{key}={value}" for key, value in options.items()), str(corpus)],
        TARGETS[name],
    )
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
