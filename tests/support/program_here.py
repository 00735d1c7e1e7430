"""Runs a program's `main` in this process, as if it had a process of its own."""

import io
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

from tests.support.logs import restored_logging


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


def run_here(
    main: Callable[[], None],
    command_line: Sequence[str],
    *,
    environment: Mapping[str, str],
    stdin: str = "",
) -> Ended:
    """Returns how `main` ended, which must be by `sys.exit`. Nothing else may run meanwhile."""
    out, err = _stream(), _stream()
    with (
        restored_logging(),
        mock.patch.dict(os.environ, environment, clear=True),
        mock.patch.multiple(
            sys, argv=list(command_line), stdin=_stream(stdin), stdout=out, stderr=err
        ),
    ):
        try:
            main()
        except SystemExit as end:
            return Ended(end.code or 0, _text(out), _text(err))
    raise AssertionError("the program did not end by sys.exit")


def _stream(content: str = "") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content.encode()), "utf-8")


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode()
