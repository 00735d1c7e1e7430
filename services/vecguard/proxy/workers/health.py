"""Merges the health reports of several workers into one."""

from collections.abc import Mapping, Sequence
from math import inf

from vecguard.observability.details import Certificate, Details
from vecguard.observability.health import Check, Health


def joined(answers: Mapping[int, Health | str]) -> Health:
    """Returns one report, with the checks of a single process and the check `workers`.

    It has the details of all workers that report them.

    A check is healthy if it is healthy for every worker that answers; else its message lists the
    unhealthy ones.

    Args:
        answers: by the worker's number, its report, or a text that says why there is none.
    """
    by_name: dict[str, dict[int, Check]] = {}
    for number, answer in answers.items():
        if isinstance(answer, Health):
            for check in answer.checks:
                by_name.setdefault(check.name, {})[number] = check
    checks = (_joined_check(name, by_worker, len(answers)) for name, by_worker in by_name.items())
    details = {
        number: answer.details
        for number, answer in answers.items()
        if isinstance(answer, Health) and answer.details is not None
    }
    return Health((_presence(answers), *checks), _joined_details(details) if details else None)


def _joined_details(by_worker: Mapping[int, Details]) -> Details:
    first = next(iter(by_worker.values()))
    soonest: dict[str, Certificate] = {}
    for details in by_worker.values():
        for each in details.certificates:
            soonest[each.link] = min(each, soonest.get(each.link, each), key=_expiry)
    return first.model_copy(
        update={
            "started_at": min(details.started_at for details in by_worker.values()),
            "certificates": tuple(soonest.values()),
            "proxies": tuple(
                process.model_copy(update={"worker": number})
                for number, details in by_worker.items()
                for process in details.proxies
            ),
        }
    )


def _expiry(certificate: Certificate) -> float:
    return inf if certificate.expires_seconds is None else certificate.expires_seconds


def _presence(answers: Mapping[int, Health | str]) -> Check:
    absent = {number: why for number, why in answers.items() if isinstance(why, str)}
    message = _by_message(absent) if absent else f"all {len(answers)} workers answer"
    return Check("workers", not absent, critical=True, message=message)


def _joined_check(name: str, by_worker: Mapping[int, Check], workers: int) -> Check:
    unhealthy = {number: check for number, check in by_worker.items() if not check.healthy}
    relevant = unhealthy or by_worker
    messages = {number: check.message for number, check in relevant.items()}
    all_agree = len(messages) == workers and len(set(messages.values())) == 1
    return Check(
        name,
        healthy=not unhealthy,
        critical=any(check.critical for check in relevant.values()),
        message=next(iter(messages.values())) if all_agree else _by_message(messages),
    )


def _by_message(messages: Mapping[int, str]) -> str:
    numbers: dict[str, list[int]] = {}
    for number, message in messages.items():
        numbers.setdefault(message, []).append(number)
    return "; ".join(f"{_named(who)}: {message}" for message, who in numbers.items())


def _named(numbers: Sequence[int]) -> str:
    return f"worker{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
