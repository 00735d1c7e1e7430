"""Asks operations ports for reports, at every address of a name, all at once."""

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Final

import aiohttp
import typer

from vecguard.addresses import Address
from vecguard.cli.connection_failure import reason_of
from vecguard.cli.exit_codes import UsageError
from vecguard.cli.given_address import read_address
from vecguard.cli.process_report import NoReportError, ProcessReport, read_report

OperationsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--operations",
        "-O",
        envvar="VECGUARD_OPERATIONS",
        metavar="HOST:PORT",
        help="Operations port of a proxy or root coord; may be repeated. Every address of the "
        "host is asked, so a headless Service of Kubernetes names all its pods. "
        "Default: localhost:9091, a proxy; a root coord has 9092.",
        rich_help_panel="Processes",
    ),
]

_OPTION: Final = "--operations"
#: Of a proxy; a root coord has 9092.
_PORT: Final = 9091
DEFAULT_OPERATIONS: Final = (f"localhost:{_PORT}",)
#: The metrics of a proxy with many workers stay far below.
_MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
#: The limit of concurrent requests: more would look like an attack to a firewall.
_AT_ONCE: Final = 32


def addresses_of(given: Sequence[str] | None) -> tuple[Address, ...]:
    """Returns the addresses of the option. Raises UsageError if one cannot be read."""
    return tuple(map(_address, given or DEFAULT_OPERATIONS))


def _address(text: str) -> Address:
    given = read_address(text, option=_OPTION, default_port=_PORT)
    if given.tls:
        raise UsageError(f"{_OPTION}: operations ports do not speak TLS; say http:// or host:port")
    return given.address


async def ask_processes(
    addresses: Iterable[Address], *, timeout_seconds: float, wall_clock: Callable[[], float]
) -> tuple[ProcessReport, ...]:
    """Returns a report for each process; without an answer, it says why.

    Args:
        addresses: operations ports. A host with several addresses counts as several processes.
        timeout_seconds: for each process.
        wall_clock: returns seconds since the epoch, to compare the processes' clocks with.
    """
    # Each port is asked once, so connections need not stay open.
    connector = aiohttp.TCPConnector(limit=_AT_ONCE, force_close=True)
    timeout = aiohttp.ClientTimeout(total=timeout_seconds)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        found = await asyncio.gather(*(_resolved(each, timeout_seconds) for each in addresses))
        places = dict.fromkeys(place for places in found for place in places)
        return tuple(
            await asyncio.gather(*(_report(session, place, wall_clock) for place in places))
        )


async def _resolved(address: Address, timeout_seconds: float) -> list[Address | ProcessReport]:
    """Returns every address of a host; a report with the reason if it has none."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_seconds):
            found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except TimeoutError:
        return [ProcessReport(str(address), "its name was not resolved in time")]
    except (OSError, UnicodeError) as error:
        return [ProcessReport(str(address), f"its name cannot be resolved: {reason_of(error)}")]
    families = [family for family, *_ in found]
    # A process that listens on both families would be counted twice.
    wanted = socket.AF_INET if socket.AF_INET in families else families[0]
    return [Address(str(place[0]), address.port) for family, *_, place in found if family == wanted]


async def _report(
    session: aiohttp.ClientSession,
    place: Address | ProcessReport,
    wall_clock: Callable[[], float],
) -> ProcessReport:
    if isinstance(place, ProcessReport):
        return place
    name = str(place)
    try:
        health, date = await _get(session, f"http://{name}/healthz")
        now = wall_clock()
        metrics, _ = await _get(session, f"http://{name}/metrics")
        return read_report(name, health, metrics, date=date, now=now)
    except TimeoutError:
        return ProcessReport(name, "no answer in time")
    except NoReportError as error:
        return ProcessReport(name, str(error))
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return ProcessReport(name, reason_of(error))


async def _get(session: aiohttp.ClientSession, url: str) -> tuple[bytes, str | None]:
    async with session.get(url, allow_redirects=False) as response:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > _MAX_ANSWER_BYTES:
                raise NoReportError("its answer is longer than any report")
        return bytes(body), response.headers.get("Date")
