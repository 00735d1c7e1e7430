"""Turns the dates and keys of certificates into findings for operators."""

from collections.abc import Iterator, Sequence
from typing import Final

from vecguard.cli.finding import Finding, Severity
from vecguard.tls import grpcio
from vecguard.tls.validity import SetValidity, Stage, Validity
from vecguard.wording import counted

RENEW: Final = (
    "renew it, with vecguard certs renew if certs init made it; a running service takes up the "
    "new file by itself"
)
CHECK_CLOCK: Final = "check this machine's clock, or wait"

_SEVERITIES: Final = {
    Stage.GOOD: Severity.GOOD,
    Stage.ENDS_SOON: Severity.WARNING,
    Stage.NOT_YET_VALID: Severity.WRONG,
    Stage.ENDED: Severity.WRONG,
}
_REMEDIES: Final = {
    Stage.GOOD: "",
    Stage.ENDS_SOON: RENEW,
    Stage.NOT_YET_VALID: CHECK_CLOCK,
    Stage.ENDED: RENEW,
}


def severity_of(stage: Stage) -> Severity:
    """Returns how much it matters that a certificate is in this stage."""
    return _SEVERITIES[stage]


def remedy_of(stage: Stage) -> str:
    """Returns what to do about a certificate in this stage; "" when nothing has to be done."""
    return _REMEDIES[stage]


def judge_validity(part: str, validity: SetValidity, now: float) -> Iterator[Finding]:
    """Yields a finding about the validity of certificates at `now` (seconds since the epoch)."""
    worst = validity.worst(now)
    if worst is not None:
        stage = worst.stage(now)
        yield Finding(severity_of(stage), part, f"certificate {worst.text(now)}", remedy_of(stage))
    if ended := validity.unused_ended(now):
        yield Finding(Severity.NOTE, part, unused_text(ended, now))


def judge_key(part: str, unusable: str | None) -> Iterator[Finding]:
    """Yields a finding when clients of grpcio cannot use a key."""
    if unusable is not None:
        yield Finding(Severity.WARNING, part, unusable, grpcio.ADVICE)


def unused_text(ended: Sequence[Validity], now: float) -> str:
    """Describes expired certificates of a file that peers do not need."""
    listed = ", ".join(each.text(now) for each in ended)
    return f"{counted(len(ended), 'certificate', 'certificates')} unused: {listed}"
