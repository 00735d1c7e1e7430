"""Settings of the audit log, which records refusals and changes of accounts."""

from typing import Annotated, Final

from annotated_types import MinLen
from pydantic import Field

from vecguard.config.fields import Expected, Section

STDOUT: Final = "stdout"
OFF: Final = "off"


class AuditSettings(Section):
    """The audit log, which records refused calls and changes of users and roles."""

    output: Annotated[str, MinLen(1), Expected(f"{STDOUT}, {OFF} or the path of a file")] = Field(
        default=STDOUT,
        description="Where the audit log is written. A file is created with mode 0600 and "
        "appended to, and may be moved away at any time. The service's own log always goes to "
        "standard error.",
    )
