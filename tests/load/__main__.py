"""`python -m tests.load [OPTIONS]`: an open load of logins on a deployment or a stack of its own.

Exit code: 0 passed, 1 a threshold was missed or a wrong password accepted, 2 the load could
not be made, 3 void, since this machine could not keep the schedule.
"""

import argparse
import asyncio
import platform
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console

from deploy.local.errors import LocalStackError
from tests.load import progress, report
from tests.load.arrivals import Pattern
from tests.load.errors import LoadError
from tests.load.local import ROOT, local_stack
from tests.load.plan import DEFAULT_RATES, Plan
from tests.load.raw import Raw
from tests.load.record import Record
from tests.load.run import Finished, run
from tests.load.target import GET_VERSION, Account, Encryption, Target
from tests.load.thresholds import Threshold
from tests.load.users import PREFIX, LoadUsers
from tests.load.verdict import ExitCode, Verdict, figures_of, judge
from vecguard.input_text import TextError, decoded
from vecguard.secret import Secret
from vecguard.standard_streams import prepare_streams

_RATE_FORM = "SCENARIO=RATE"
_LOG_WIDTH = 140


def main() -> None:
    prepare_streams()
    options = _parser().parse_args()
    console = Console()
    if not console.is_terminal:
        # A log has no edge at which a table would have to break.
        console.width = _LOG_WIDTH
    try:
        sys.exit(asyncio.run(_main(options, console)))
    except (LoadError, LocalStackError) as error:
        console.print(f"load: {error}", style="red", markup=False, highlight=False)
        sys.exit(ExitCode.UNUSABLE)
    except KeyboardInterrupt:
        # asyncio has let the run remove its users first.
        sys.exit(128 + signal.SIGINT)
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)


async def _main(options: argparse.Namespace, console: Console) -> int:
    task = asyncio.current_task()
    assert task is not None
    # As asyncio does with Ctrl-C: whatever ends a run, its users are removed.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    encryption = _encryption(options)
    async with AsyncExitStack() as stack:
        if options.url:
            addresses = options.url.split(",")
            administrator = Account(options.user, _password(options.password_file))
        else:
            console.print(f"starting a local stack with {options.proxies} proxies ...")
            local = await stack.enter_async_context(
                local_stack(proxies=options.proxies, limits=options.limits, milvus=options.milvus)
            )
            addresses = [proxy.address for proxy in local.proxies]
            administrator = ROOT
        target = Target(
            addresses,
            method=options.method,
            encryption=encryption,
            timeout_seconds=options.timeout,
            connections=options.connections,
        )
        if options.clean:
            return await _clean(target, administrator, console)
        plan = Plan(
            seconds=options.seconds,
            rates={**DEFAULT_RATES, **dict(options.rate)},
            pattern=options.arrivals,
            users=options.users,
            seed=options.seed,
        )
        _check_names(plan, options.threshold)
        finished = await run(
            *(plan, target, administrator),
            console=console,
            raw_seconds=options.raw,
            encryption=encryption,
        )
    return _tell(options, plan, addresses, finished, console)


async def _clean(target: Target, administrator: Account, console: Console) -> int:
    try:
        await target.open()
        removed, left = await LoadUsers(target, administrator).remove_left_over()
    finally:
        await target.close()
    console.print(f"{removed} users of earlier runs removed, {len(left)} left")
    return ExitCode.FAILED if left else ExitCode.PASSED


def _tell(
    options: argparse.Namespace,
    plan: Plan,
    addresses: list[str],
    finished: Finished,
    console: Console,
) -> int:
    verdict = judge(finished.records, options.threshold, most_lag_ms=options.max_lag)
    console.print(progress.table(finished.records, f"after {plan.seconds:g} s"))
    facts = _facts(plan, addresses, finished)
    for name in ("raw throughput", "left over"):
        if name in facts:
            console.print(f"{name}: {facts[name]}", highlight=False)
    for text, good in verdict.lines:
        console.print(text, style="green" if good else "red", markup=False, highlight=False)
    path: Path = options.report
    report.write_html(path, finished.records, facts, verdict, addresses)
    report.write_json(path.with_suffix(".json"), finished.records, facts, verdict)
    console.print(f"{verdict.code.name.lower()}; report: {path}", highlight=False, soft_wrap=True)
    return _code(verdict, finished)


def _code(verdict: Verdict, finished: Finished) -> int:
    if verdict.code is ExitCode.PASSED and finished.left_over:
        return ExitCode.FAILED
    return verdict.code


def _facts(plan: Plan, addresses: list[str], finished: Finished) -> dict[str, str]:
    facts = {
        "when": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
        "proxies": ", ".join(addresses),
        "seconds": f"{plan.seconds:g}",
        "arrivals": f"{plan.pattern.value}, seed {plan.seed}",
        "raw throughput": (
            f"{finished.raw.rps:,.0f} calls per second of one proxy (h2load, closed loop, "
            f"{finished.raw.calls:,} calls)"
            if isinstance(finished.raw, Raw)
            else finished.raw
        ),
        "load made by": f"Python {platform.python_version()} on {platform.machine()}",
    }
    if finished.left_over:
        facts["left over"] = (
            f"{len(finished.left_over)} users whose names begin with {PREFIX} could not be "
            "removed; --clean does it"
        )
    return facts


def _check_names(plan: Plan, thresholds: list[Threshold]) -> None:
    """Reports a misspelt threshold before the run, not after it."""
    running = [name for name, rate in plan.rates.items() if rate]
    figures = figures_of([Record(name, plan.seconds) for name in running])
    for threshold in thresholds:
        threshold.value(figures)


def _password(file: Path | None) -> Secret[str]:
    if file is None:
        raise LoadError("--url needs --password-file with the administrator's password")
    try:
        return Secret(decoded(file.read_bytes()))
    except (OSError, TextError) as error:
        raise LoadError(f"cannot use the password file {file}: {error}") from error


def _encryption(options: argparse.Namespace) -> Encryption | None:
    parts = (options.ca, options.cert, options.key, options.server_name)
    if not options.tls and not any(parts):
        return None
    if not options.url:
        raise LoadError("TLS options are for --url; the local stack of a load speaks none")
    return Encryption(*parts)


def _rate(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    if name not in DEFAULT_RATES:
        raise argparse.ArgumentTypeError(f"no scenario {name!r}; one of {', '.join(DEFAULT_RATES)}")
    try:
        rate = float(number)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not {_RATE_FORM}") from error
    if not 0 <= rate <= 100_000:
        raise argparse.ArgumentTypeError("a rate is between 0 and 100000 a second")
    return name, rate


def _threshold(text: str) -> Threshold:
    try:
        return Threshold.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number <= 86_400:
        raise argparse.ArgumentTypeError("more than 0 and at most 86400")
    return number


def _count(text: str) -> int:
    number = int(text)
    if not 0 < number <= 1000:
        raise argparse.ArgumentTypeError("between 1 and 1000")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    where = parser.add_argument_group("target")
    where.add_argument(
        "--url", metavar="HOST:PORT[,...]", help="proxies; without it a local stack is started"
    )
    where.add_argument("--user", default="root", help="an administrator (%(default)s)")
    where.add_argument("--password-file", type=Path, metavar="FILE", help="with its password")
    where.add_argument("--tls", action="store_true", help="encrypt; implied by the next four")
    where.add_argument("--ca", type=Path, metavar="FILE", help="CAs to trust")
    where.add_argument("--cert", type=Path, metavar="FILE", help="certificate to show")
    where.add_argument("--key", type=Path, metavar="FILE", help="its key")
    where.add_argument("--server-name", metavar="NAME", help="name in the server's certificate")
    where.add_argument(
        "--method", default=GET_VERSION, help="the unary call of every login (%(default)s)"
    )
    where.add_argument(
        "--proxies", type=_count, default=2, metavar="N", help="of the local stack (%(default)s)"
    )
    where.add_argument(
        "--milvus",
        action="store_true",
        help="put Milvus Lite behind the local stack's proxies, and not a backend that costs "
        "next to nothing",
    )
    where.add_argument(
        "--limits",
        action="store_true",
        help="leave the local stack's limits on failed logins as they are by default; they see "
        "all of the load as one address",
    )
    where.add_argument(
        "--clean", action="store_true", help="only remove the users that a killed run left behind"
    )
    what = parser.add_argument_group("load")
    what.add_argument("--seconds", type=_positive, default=30.0, help="(%(default)s)")
    what.add_argument(
        "--rate",
        type=_rate,
        action="append",
        default=[],
        metavar=_RATE_FORM,
        help="attempts per second; 0 leaves a scenario out; may be repeated ("
        + ", ".join(f"{name}={rate:g}" for name, rate in DEFAULT_RATES.items())
        + ")",
    )
    what.add_argument(
        "--arrivals",
        type=Pattern,
        choices=list(Pattern),
        default=Pattern.POISSON,
        metavar="KIND",
        help="poisson (independent clients; the default) or even",
    )
    what.add_argument("--seed", type=int, default=0, help="of the arrivals (%(default)s)")
    what.add_argument(
        "--users",
        type=_count,
        default=5,
        metavar="N",
        help="for each scenario but `first` (%(default)s)",
    )
    what.add_argument(
        "--connections", type=_count, default=4, metavar="N", help="to each proxy (%(default)s)"
    )
    what.add_argument(
        "--timeout",
        type=_positive,
        default=30.0,
        metavar="SECONDS",
        help="of each call (%(default)s)",
    )
    what.add_argument(
        "--raw",
        type=float,
        default=3.0,
        metavar="SECONDS",
        help="raw throughput of the first proxy with h2load, afterwards; 0: not (%(default)s)",
    )
    result = parser.add_argument_group("result")
    result.add_argument(
        "--threshold",
        type=_threshold,
        action="append",
        default=[],
        metavar="'known.p99_ms<50'",
        help="fail if it is not kept; may be repeated",
    )
    result.add_argument(
        "--max-lag",
        type=_positive,
        default=100.0,
        metavar="MS",
        help="void if this process was later with its attempts (p99; %(default)s)",
    )
    result.add_argument(
        "--report",
        type=Path,
        default=Path("build/load/report.html"),
        metavar="FILE",
        help="(%(default)s); the figures go beside it as .json",
    )
    return parser


if __name__ == "__main__":
    main()
