"""The audit log: who was refused, and who changed an account."""

from typing import Annotated, Final

from annotated_types import MinLen
from pydantic import Field

from vecguard.config.fields import Expected, Section

STDOUT: Final = "stdout"
OFF: Final = "off"


class AuditSettings(Section):
    """Where the audit log goes."""

    output: Annotated[str, MinLen(1), Expected(f"{STDOUT}, {OFF} or the path of a file")] = Field(
        default=STDOUT,
        description="Where the lines go. A file is appended to, made with mode 0600, and may be "
        "moved away at any time; the log itself is on standard error.",
    )
