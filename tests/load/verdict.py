"""Whether a run passed, and whether it may be judged at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from tests.load.record import Record
from tests.load.thresholds import Threshold


class ExitCode(IntEnum):
    PASSED = 0
    #: A threshold was not kept, or a promise was broken.
    FAILED = 1
    #: The load could not be made: wrong arguments, or the target cannot be used.
    UNUSABLE = 2
    #: This process could not keep its own schedule, so the figures are not the server's.
    VOID = 3


@dataclass(frozen=True)
class Verdict:
    """Attributes:
    code: the exit code.
    lines: the reasons, in words; (text, whether it is good).
    """

    code: ExitCode
    lines: Sequence[tuple[str, bool]]


def figures_of(records: Sequence[Record]) -> Mapping[str, Mapping[str, float]]:
    return {record.name: record.figures() for record in records}


def judge(
    records: Sequence[Record], thresholds: Sequence[Threshold], *, most_lag_ms: float
) -> Verdict:
    """Judge a finished run.

    Args:
        most_lag_ms: 99 % of the attempts of each scenario must have been made so soon after
            they were due.

    Raises:
        LoadError: a threshold names a figure that there is not.
    """
    figures = figures_of(records)
    lines = [
        (f"{each} (it is {each.value(figures):.6g})", each.is_kept(figures)) for each in thresholds
    ]
    lines += [
        (f"{record.name}: {record.broken_promises} times a password was accepted wrongly", False)
        for record in records
        if record.broken_promises
    ]
    lines += [(f"{each.name}: nothing was due", False) for each in records if not each.attempts]
    late = [(_late(each, most_lag_ms), False) for each in records if _lag_ms(each) > most_lag_ms]
    passed = all(good for _, good in lines)
    if late:
        return Verdict(ExitCode.VOID, [*lines, *late])
    return Verdict(ExitCode.PASSED if passed else ExitCode.FAILED, lines)


def _lag_ms(record: Record) -> float:
    return record.lags.percentile_ms(99)


def _late(record: Record, most_lag_ms: float) -> str:
    return (
        f"{record.name}: attempts were made {_lag_ms(record):.0f} ms late (p99, {most_lag_ms:g} "
        "are allowed): this machine is too slow for this load, so the figures are not those of "
        "the server"
    )
