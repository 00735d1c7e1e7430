"""Configures one log for our own code and the libraries', on one stream.

People on a terminal get text, machines get one JSON object per line.
"""

import logging
import os
import sys
from typing import Any, Final, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from vecguard.config.settings import LogFormat, LogLevel
from vecguard.observability.redaction import redact
from vecguard.secret import Secret

_LEVELS: Final[dict[LogLevel, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
# At level debug asyncio logs its selector, and hpack every header with its value.
_NOISY: Final = ("asyncio", "hpack", "h2")


def get_logger(name: str) -> FilteringBoundLogger:
    """Returns a logger for the module `name`.

    It may be called before `configure_logging`.
    """
    return cast("FilteringBoundLogger", structlog.stdlib.get_logger(name))


def configure_logging(
    level: LogLevel, log_format: LogFormat, *, stream: TextIO | None = None, service: str
) -> None:
    """Sends every log entry of the process to one stream. A second call replaces the first.

    Args:
        level: the least severe level that is written.
        log_format: `text`, `json`, or `auto`: text if the stream is a terminal.
        stream: where to write; standard error by default.
        service: the name in every entry.
    """
    # Looked up now: sys.stderr may have been replaced since this module was imported.
    target = stream or sys.stderr
    terminal = target is not None and target.isatty()
    text = log_format == "text" or (log_format == "auto" and terminal)
    common = _common_processors(service)
    structlog.configure(
        processors=[
            *common,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        # A cached logger would keep the previous configuration.
        cache_logger_on_first_use=False,
    )
    handler = _Handler(target)
    handler.addFilter(_mask_arguments)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_text_renderers(colors=terminal) if text else _json_renderers()),
            ],
        )
    )
    _replace_handler(handler, _LEVELS[level])


class _Handler(logging.StreamHandler[TextIO]):
    """Marks our handler, so that a second configuration replaces it and keeps others."""


def _replace_handler(handler: _Handler, level: int) -> None:
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(max(level, logging.INFO))


def _common_processors(service: str) -> list[Processor]:
    def add_origin(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        # Read for each entry: a worker process inherits its parent's configuration.
        event["pid"] = os.getpid()
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        add_origin,
        structlog.processors.StackInfoRenderer(),
        redact,
    ]


def _json_renderers() -> list[Processor]:
    return [
        # The plain formatter: tracebacks without the values of local variables.
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]


def _text_renderers(*, colors: bool) -> list[Processor]:
    return [
        _escape_controls,
        structlog.dev.ConsoleRenderer(
            colors=colors,
            # The default shows local variables where rich is installed.
            exception_formatter=structlog.dev.plain_traceback,
            pad_event_to=0,
        ),
    ]


def _escape_controls(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escapes controls: a client's name must not steer the operator's terminal or fake a line."""
    return {
        name: _escaped(value, keep_lines=name == "event") if isinstance(value, str) else value
        for name, value in event.items()
    }


def _escaped(text: str, *, keep_lines: bool) -> str:
    if text.isprintable():
        return text
    kept = "\n\t" if keep_lines else ""
    return "".join(
        char if char.isprintable() or char in kept else char.encode("unicode_escape").decode()
        for char in text
    )


def _mask_arguments(record: logging.LogRecord) -> bool:
    """Keeps a library's `logging.info("%s", secret)` from failing: a secret has no text."""
    args: Any = record.args
    if isinstance(args, tuple):
        record.args = tuple(repr(arg) if isinstance(arg, Secret) else arg for arg in args)
    return True
