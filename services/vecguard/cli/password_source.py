"""Reads passwords from a prompt, standard input or a file.

Never from an argument or an environment variable: other users of the machine can see both.
"""

import getpass
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from vecguard.cli.exit_codes import UsageError
from vecguard.input_text import TextError, cleaned, decoded
from vecguard.secret import Secret

#: The file name that means standard input.
STANDARD_INPUT: Final = Path("-")
#: No password is longer; a longer file was given by mistake.
_MAX_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class PasswordSource:
    """A source of one password that a command needs.

    Attributes:
        purpose: which password it is, as the prompt asks for it.
        file: a file, `-` for one line of standard input, None for a prompt.
        option: the option that names the file, for messages.
        confirm: whether the prompt asks twice, as for a new password.
    """

    purpose: str
    file: Path | None
    option: str
    confirm: bool = False

    def read(self) -> Secret[str]:
        """Returns the password.

        Raises:
            UsageError: there is none, it breaks the rule of `vecguard.input_text`, the file cannot
                be read, the two answers differ, or there is no terminal for the prompt.
        """
        if self.file is None:
            return self._prompted()
        if self.file == STANDARD_INPUT:
            return self._line_of(sys.stdin)
        return self._content_of(self.file)

    def _prompted(self) -> Secret[str]:
        # Only from the terminal: a pipe was not meant to answer a prompt.
        if not sys.stdin.isatty():
            raise UsageError(
                f"no terminal to ask for the {self.purpose}; give {self.option} FILE, "
                f"or {self.option} - for standard input"
            )
        prompt = f"{self.purpose[0].upper()}{self.purpose[1:]}"
        password = self._asked(prompt)
        if self.confirm and self._asked(f"{prompt}, again") != password:
            raise UsageError("the two passwords differ; nothing was changed")
        return password

    def _asked(self, prompt: str) -> Secret[str]:
        try:
            with warnings.catch_warnings():
                # Where the echo cannot be switched off, getpass would only warn.
                warnings.simplefilter("error", getpass.GetPassWarning)
                answer = getpass.getpass(f"{prompt}: ", sys.stderr)
        except (OSError, EOFError, getpass.GetPassWarning):
            raise UsageError(f"the terminal gives no {self.purpose} without showing it") from None
        except UnicodeDecodeError:
            raise UsageError(f"the {self.purpose} is not UTF-8 text") from None
        try:
            return self._checked(cleaned(answer))
        except TextError as error:
            raise self._unusable(error) from None

    def _line_of(self, stream: TextIO) -> Secret[str]:
        try:
            line = _read_line(stream.fileno())
        except OSError as error:
            raise UsageError(f"standard input cannot be read: {error.strerror}") from None
        return self._decoded(line)

    def _content_of(self, path: Path) -> Secret[str]:
        try:
            with path.open("rb") as stream:
                content = stream.read(_MAX_BYTES + 1)
        except OSError as error:
            raise UsageError(f"{self.option}: {path} cannot be read: {error.strerror}") from None
        return self._decoded(content)

    def _decoded(self, content: bytes) -> Secret[str]:
        if len(content) > _MAX_BYTES:
            raise UsageError(f"the {self.purpose} is longer than {_MAX_BYTES} bytes")
        try:
            return self._checked(decoded(content))
        except TextError as error:
            raise self._unusable(error) from None

    def _checked(self, password: str) -> Secret[str]:
        if not password:
            raise UsageError(f"the {self.purpose} is empty")
        return Secret(password)

    def _unusable(self, error: TextError) -> UsageError:
        return UsageError(f"the {self.purpose} {error}")


def _read_line(descriptor: int) -> bytes:
    """Reads one line and no byte after it: a second password may follow."""
    line = bytearray()
    while len(line) <= _MAX_BYTES and (octet := os.read(descriptor, 1)):
        line += octet
        if octet == b"\n":
            break
    return bytes(line)
