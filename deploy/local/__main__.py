"""`python -m deploy.local`: runs all of Vecguard on this machine until Ctrl-C."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.local.console import Console, wants_colour
from deploy.local.errors import LocalStackError
from deploy.local.greeting import greeting
from deploy.local.ports import LOOPBACK, Ports
from deploy.local.stack import CHECKOUT, LocalStack
from vecguard.config.security import TlsMode
from vecguard.standard_streams import prepare_streams

_PROGRAM = "make run"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs until a signal (returns 0), or until a part fails (returns 1)."""
    # `make run | head`: the stack continues without the reader.
    prepare_streams()
    options = _parser().parse_args(arguments)
    try:
        return asyncio.run(_run(options))
    except LocalStackError as error:
        print(f"{_PROGRAM}: {error.message}", file=sys.stderr)  # noqa: T201  a command's answer
        return 1


async def _run(options: argparse.Namespace) -> int:
    console = Console(
        sys.stdout,
        ["etcd", "backend", "root-coord", "proxy"],
        coloured=wants_colour(sys.stdout, os.environ),
        verbose=options.verbose,
    )
    ports = Ports().shifted(options.port_offset)
    if options.proxy_port is not None:
        ports = ports.with_proxy_port(options.proxy_port)
    stack = LocalStack(
        options.data_dir or _data_dir(options.port_offset),
        backend_data=options.backend_data,
        ports=ports,
        tls=options.tls,
        listen=options.listen,
        verbose=options.verbose,
        on_line=console.line,
    )
    # The work is a task of its own: a signal cancels it, but not the orderly stop that follows.
    work = asyncio.create_task(_work(stack, console), name="local stack")

    def interrupted(name: str) -> None:
        if work.cancelling():
            console.say(f"{name} again: killing everything")
            stack.kill()
        else:
            console.say(f"{name}: stopping (once more to kill)")
            work.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted, number.name)
    await asyncio.wait({work})
    if work.cancelled():
        console.say("everything is stopped")
        return 0
    error = work.exception()
    if error is not None:
        raise error
    return 1


async def _work(stack: LocalStack, console: Console) -> None:
    console.say(f"starting in {stack.data_dir}")
    async with stack:
        for warning in stack.certificates.warnings if stack.certificates is not None else ():
            console.say(f"warning: {warning}")
        console.banner(greeting(stack))
        failure = await stack.wait_for_failure()
        console.say("stopping the others")
    raise failure


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local",
        description="Run etcd, root coord, Milvus Lite and a proxy on this machine until Ctrl-C.",
        epilog="Settings of the services are taken from the environment, for example "
        "VECGUARD__LOG__LEVEL=debug. `make run` takes these options in RUN_ARGS.",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where all state lives (default: data; data/offset-N with --port-offset N)",
    )
    parser.add_argument(
        "--backend-data",
        type=lambda text: Path(text).expanduser(),
        metavar="DIR",
        help="existing Milvus Lite 3 database, served in place; `make run DATA=DIR` gives this "
        "(default: milvus-lite in --data-dir)",
    )
    parser.add_argument(
        "--listen",
        default=LOOPBACK,
        metavar="IP",
        help="address of the proxy's port; 0.0.0.0 opens it to the network (%(default)s)",
    )
    parser.add_argument(
        "--tls",
        action="store_const",
        const=TlsMode.MUTUAL,
        default=TlsMode.OFF,
        help="encrypt every connection, with certificates that are made in DIR/certs; "
        "`make run TLS=1` gives this",
    )
    parser.add_argument(
        "--tls-mode",
        dest="tls",
        type=_tls_mode,
        metavar="MODE",
        help="the same, and whether clients show a certificate: 2 yes, as with --tls; 1 no",
    )
    parser.add_argument(
        "--proxy-port",
        type=_port_number,
        metavar="NUMBER",
        help="the port that clients connect to (default: 19530, plus the offset)",
    )
    parser.add_argument(
        "--port-offset",
        type=int,
        default=0,
        metavar="N",
        help="add N to every port, and keep the state apart: a second stack beside the first",
    )
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="show all that etcd and Milvus Lite print, not only warnings",
    )
    return parser


def _data_dir(port_offset: int) -> Path:
    return CHECKOUT / "data" / f"offset-{port_offset}" if port_offset else CHECKOUT / "data"


def _tls_mode(text: str) -> TlsMode:
    modes = {"1": TlsMode.SERVER, "2": TlsMode.MUTUAL}
    if text not in modes:
        raise argparse.ArgumentTypeError(f"{text!r} is neither 1 nor 2")
    return modes[text]


def _port_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):  # noqa: PLR2004  TCP
        raise argparse.ArgumentTypeError(f"{text!r} is no port number")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
