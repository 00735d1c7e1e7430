"""Settings of the audit log, which records refusals and changes of accounts."""

from typing import Annotated, Final

from annotated_types import MinLen
from pydantic import Field

from vecguard.config.fields import Expected, Section

STDOUT: Final = "stdout"
OFF: Final = "off"


class AuditSettings(Section):
    """`audit`: where the audit log is written."""

    output: Annotated[str, MinLen(1), Expected(f"{STDOUT}, {OFF} or the path of a file")] = Field(
        default=STDOUT,
        description="Where the lines go. A file is appended to, made with mode 0600, and may be "
        "moved away at any time; the log itself is on standard error.",
    )
