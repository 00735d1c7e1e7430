"""`python -m deploy.local`: run the whole of Vecguard on this machine until Ctrl-C."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.local.console import Console, wants_colour
from deploy.local.errors import LocalStackError
from deploy.local.ports import LOOPBACK, NAMES, Ports
from deploy.local.stack import CHECKOUT, LocalStack

_PROGRAM = "make run"
_EVERYWHERE = {"0.0.0.0", "::"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal (0), or until something fails (1)."""
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
    stack = LocalStack(
        options.data_dir,
        ports=Ports().with_changes(dict(options.port)),
        listen=options.listen,
        verbose=options.verbose,
        on_line=console.line,
    )
    # The work is a task of its own, so that a signal ends it and not the stopping after it.
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
        console.banner(_greeting(stack))
        failure = await stack.wait_for_failure()
        console.say("stopping the others")
    raise failure


def _greeting(stack: LocalStack) -> list[str]:
    address = stack.proxies[0].address
    reach = "every interface" if stack.listen in _EVERYWHERE else stack.listen
    return [
        f"Vecguard is ready at {address}",
        "",
        "user              root",
        "initial password  Milvus (unless you changed it)",
        f"listening on      {reach}",
        f"health, metrics   http://{stack.proxies[0].operations_address}/healthz",
        f"state             {stack.data_dir}",
        "",
        "from pymilvus import MilvusClient",
        f'client = MilvusClient("http://{address}", token="root:Milvus")',
        'client.has_collection("books") or client.create_collection("books", dimension=3)',
        'client.upsert("books", [{"id": 1, "vector": [0.1, 0.2, 0.3]}])',
        'print(client.search("books", data=[[0.1, 0.2, 0.3]]))',
        "",
        "Ctrl-C stops everything.",
    ]


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
        default=CHECKOUT / "data",
        metavar="DIR",
        help="where all state lives (%(default)s)",
    )
    parser.add_argument(
        "--listen",
        default=LOOPBACK,
        metavar="IP",
        help="address of the proxy's port; 0.0.0.0 opens it to the network (%(default)s)",
    )
    parser.add_argument(
        "--proxy-port",
        dest="port",
        action="append",
        type=lambda text: ("proxy", _port_number(text)),
        metavar="NUMBER",
        help="the port that clients connect to (19530)",
    )
    parser.add_argument(
        "--port",
        action="append",
        type=_named_port,
        metavar="NAME=NUMBER",
        help=f"another port for one of: {', '.join(NAMES)}; may be repeated",
    )
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="show all that etcd and Milvus Lite print, not only warnings",
    )
    parser.set_defaults(port=[])
    return parser


def _named_port(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if name not in NAMES:
        raise argparse.ArgumentTypeError(f"unknown port {name!r}; one of: {', '.join(NAMES)}")
    return name, _port_number(number)


def _port_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):  # noqa: PLR2004  TCP
        raise argparse.ArgumentTypeError(f"{text!r} is no port number")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
