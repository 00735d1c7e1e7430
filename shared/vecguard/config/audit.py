"""The audit log: who was refused, and who changed an account."""

from typing import Annotated, Final

from annotated_types import MinLen
from pydantic import Field

from vecguard.config.fields import Count, Expected, Seconds, Section

STDOUT: Final = "stdout"
OFF: Final = "off"


class AuditSettings(Section):
    """Where the audit log goes, and how much of it there is in a storm."""

    output: Annotated[str, MinLen(1), Expected(f"{STDOUT}, {OFF} or the path of a file")] = Field(
        default=STDOUT,
        description="Where the lines go. A file is appended to, made with mode 0600, and may be "
        "moved away at any time; the log itself is on standard error.",
    )
    window: Seconds = Field(
        default=60.0,
        description="For how long refusals, and account changes, that are alike are counted "
        "before the count is written, in seconds.",
    )
    max_groups: Count = Field(
        default=200,
        description="Kinds of refusals told apart in one window, and as many of account changes; "
        "further ones are counted by address or actor, then together.",
    )
    queue: Count = Field(
        default=1000,
        description="Lines that may wait to be written; more are dropped and counted.",
    )
