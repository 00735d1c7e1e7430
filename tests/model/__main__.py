"""`python -m tests.model [--full] [--largest]`: explore, and print what was found."""

import argparse
import sys

from tests.model.configurations import FULL, FULL_LIVENESS, LARGEST, SHORT, SHORT_LIVENESS, seeded
from tests.model.explorer import Exploration, explore
from tests.model.liveness import longest_wait
from tests.model.rules import Bug


def main() -> int:
    """Explore every configuration; 0 when the promise holds and every bug is found."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--full", action="store_true", help="the larger configurations too")
    parser.add_argument("--largest", action="store_true", help="and the very large one")
    parser.add_argument("--traces", action="store_true", help="print the counterexamples")
    arguments = parser.parse_args()
    good = True

    print("The protocol as it stands:")
    configurations = SHORT | (FULL if arguments.full else {})
    configurations |= LARGEST if arguments.largest else {}
    for name, rules in configurations.items():
        found = explore(rules)
        good &= not found.violation
        _print(name, found, "HOLE" if found.violation else "holds")
        if found.violation:
            _print_trace(found)

    rules = FULL_LIVENESS if arguments.full else SHORT_LIVENESS
    wait = longest_wait(rules, explore(rules, keep=True).kept)
    print(f"\nOnce failures have stopped, a change is answered within {wait} ticks.\n")

    print("Seeded bugs:")
    for bug in Bug:
        if bug is Bug.NONE:
            continue
        found = explore(seeded(bug))
        good &= bool(found.violation)
        _print(bug.name, found, f"{len(found.trace) - 1} steps" if found.violation else "MISSED")
        if arguments.traces:
            _print_trace(found)
    return 0 if good else 1


def _print(name: str, found: Exploration, verdict: str) -> None:
    print(
        f"  {name:<44} {verdict:>9} {found.states:>11,} states"
        f" {found.depth:>3} deep {found.seconds:6.1f} s",
        flush=True,
    )


def _print_trace(found: Exploration) -> None:
    for number, text in enumerate(found.trace, 1):
        print(f"      {number:>2}. {text}")


if __name__ == "__main__":
    sys.exit(main())
