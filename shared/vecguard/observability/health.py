"""Defines the health checks of a process and their report."""

from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from typing import Protocol

from vecguard.config.exposure import Exposure
from vecguard.observability.details import Details
from vecguard.observability.log import get_logger

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check at one moment.

    Attributes:
        name: what was checked.
        healthy: whether the check passed.
        critical: whether the process cannot serve without it.
        message: what was found; if unhealthy, also what it means. No secrets.
    """

    name: str
    healthy: bool
    critical: bool
    message: str


@dataclass(frozen=True, slots=True)
class Health:
    """The results of all checks at one moment.

    Attributes:
        details: what the process reports beside them, if it was asked.
    """

    checks: tuple[Check, ...]
    details: Details | None = None

    @property
    def ready(self) -> bool:
        """Whether the process can serve: every critical check is healthy."""
        return not self.failures

    def without(self, names: Container[str]) -> "Health":
        """Returns the results without the checks of these names."""
        checks = tuple(check for check in self.checks if check.name not in names)
        return replace(self, checks=checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The critical checks that are unhealthy."""
        return tuple(check for check in self.checks if check.critical and not check.healthy)

    @property
    def warnings(self) -> tuple[Check, ...]:
        """The other checks that are unhealthy."""
        return tuple(check for check in self.checks if not check.critical and not check.healthy)


class HealthSource(Protocol):
    """Reports the health of a process."""

    async def assess(self, *, detailed: bool = False) -> Health:
        """Returns the health at this moment; `detailed` says whether with its details."""
        ...

    async def is_alive(self) -> bool:
        """Returns whether the process can become healthy without a restart."""
        ...


class HealthReport:
    """Holds the checks of a process, by name.

    A check is a plain function that uses only what is known already: it is called on the event
    loop for every request to the operations port, and must not block.
    """

    def __init__(self) -> None:
        self._checks: dict[str, Callable[[], Check]] = {}
        self._details: Callable[[], Details] | None = None

    def describe(self, details: Callable[[], Details]) -> None:
        """Takes the function that returns the details. Like a check, it must not block."""
        self._details = details

    def register(self, name: str, check: Callable[[], Check]) -> None:
        """Adds a check.

        Raises:
            ValueError: the name is taken.
        """
        if name in self._checks:
            raise ValueError(f"there is a health check named {name} already")
        self._checks[name] = check

    def evaluate(self) -> Health:
        """Runs every check once. A check that raises counts as critical and unhealthy."""
        return Health(tuple(self._run(name, check) for name, check in self._checks.items()))

    async def assess(self, *, detailed: bool = False) -> Health:
        """Does what `evaluate` does, as a `HealthSource`."""
        health = self.evaluate()
        return replace(health, details=self._describe()) if detailed else health

    async def is_alive(self) -> bool:
        """Returns True: a process whose event loop hangs does not answer at all."""
        return True

    def _describe(self) -> Details | None:
        try:
            return None if self._details is None else self._details()
        except Exception:  # noqa: BLE001  # whatever it is, the checks must be reported
            _log.exception("the details of the health report cannot be made")
            return None

    @staticmethod
    def _run(name: str, check: Callable[[], Check]) -> Check:
        try:
            return replace(check(), name=name)
        except Exception as error:  # noqa: BLE001  # whatever it is, the report must be made
            _log.exception("a health check failed to run", check=name)
            message = f"the check itself failed: {type(error).__name__}"
            return Check(name, healthy=False, critical=True, message=message)


def register_exposure(exposure: Exposure | None, health: HealthReport) -> None:
    """Registers the check `exposure`: a port is open to the network without TLS."""
    message = str(exposure or "its port is encrypted or not open to the network")
    check = Check("exposure", exposure is None, critical=False, message=message)
    health.register("exposure", lambda: check)
