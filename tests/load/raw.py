"""Raw throughput of known logins by h2load: a closed loop, as fast as the answers come.

h2load counts gRPC errors as successes, since their HTTP status is 200. So the bytes of all
answers are compared with what right answers have: an error has none.
"""

import asyncio
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.load.errors import LoadError
from tests.load.target import Account, Encryption

MISSING = "h2load is not installed, so there is no raw throughput (Debian: nghttp2-client)"

_PREFIX_BYTES = 5
_TRIAL_CALLS = 2000
_DEADLINE_SECONDS = 120.0
_RATE = re.compile(r"finished in [^,]+, ([0-9.]+) req/s")
_COUNTS = re.compile(r"requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded")
_BYTES = re.compile(r"headers \(space savings [^)]*\), \S+ \((\d+)\) data")


@dataclass(frozen=True)
class Raw:
    """Attributes:
    rps: right answers in a second.
    calls: how many were made.
    """

    rps: float
    calls: int


def is_installed() -> bool:
    return shutil.which("h2load") is not None


async def throughput(
    address: str,
    method: str,
    account: Account,
    answer: bytes,
    *,
    seconds: float,
    connections: int = 8,
    streams: int = 16,
    encryption: Encryption | None = None,
) -> Raw:
    """Measure one proxy.

    Args:
        address: host:port of the proxy.
        method: path of the call.
        account: who calls. h2load takes headers as arguments, which other users of this
            machine can read, so this must be somebody who exists for the load only.
        answer: what a right answer's message is.
        seconds: about how long.
        connections: how many.
        streams: calls at a time on each connection.
        encryption: TLS; h2load does not check the server's certificate.

    Raises:
        LoadError: it ended with an error, or not every answer was right.
    """
    with tempfile.TemporaryDirectory(prefix="vecguard-load-") as folder:
        body = Path(folder) / "request"
        body.write_bytes(bytes(_PREFIX_BYTES))  # an empty message
        arguments = [
            *("-c", str(connections), "-m", str(streams), "-d", str(body)),
            *("-H", "content-type: application/grpc", "-H", "te: trailers"),
            *("-H", f"authorization: {account.header[0][1].decode()}"),
            f"{'http' if encryption is None else 'https'}://{address}{method}",
        ]
        expected = _PREFIX_BYTES + len(answer)
        trial = await _run(_TRIAL_CALLS, arguments, expected)
        return await _run(max(_TRIAL_CALLS, int(trial.rps * seconds)), arguments, expected)


async def _run(calls: int, arguments: list[str], expected_bytes: int) -> Raw:
    process = await asyncio.create_subprocess_exec(
        *("h2load", "-n", str(calls), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_DEADLINE_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError as error:
        raise LoadError(f"h2load took longer than {_DEADLINE_SECONDS:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return read(output.decode(errors="replace"), calls, expected_bytes)


def read(output: str, calls: int, expected_bytes: int) -> Raw:
    """What h2load printed.

    Raises:
        LoadError: it is not what h2load prints, or not every answer was right.
    """
    rate, counts, data = _RATE.search(output), _COUNTS.search(output), _BYTES.search(output)
    if rate is None or counts is None or data is None:
        raise LoadError(f"h2load did not do its work: {output.strip()[-300:]}")
    if int(counts[2]) != calls or int(data[1]) != calls * expected_bytes:
        raise LoadError(
            f"h2load: of {calls} answers, not all were right: {counts[2]} had HTTP status 200, and "
            f"{data[1]} bytes came where {calls * expected_bytes} were expected"
        )
    return Raw(float(rate[1]), calls)
