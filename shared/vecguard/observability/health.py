"""Defines the health checks of a process and their report."""

from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from typing import Protocol

from vecguard.observability.log import get_logger

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check at one moment.

    Attributes:
        name: what was checked.
        healthy: whether it is as it should be.
        critical: whether the process cannot serve without it.
        message: what was found; if unhealthy, also what it means. No secrets.
    """

    name: str
    healthy: bool
    critical: bool
    message: str


@dataclass(frozen=True, slots=True)
class Health:
    """The results of all checks at one moment."""

    checks: tuple[Check, ...]

    @property
    def ready(self) -> bool:
        """Whether the process can serve: every critical check is healthy."""
        return not self.failures

    def without(self, names: Container[str]) -> "Health":
        """Returns the results without the checks of these names."""
        return Health(tuple(check for check in self.checks if check.name not in names))

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

    async def assess(self) -> Health:
        """Returns the health at this moment."""
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

    async def assess(self) -> Health:
        """Does what `evaluate` does, as a `HealthSource`."""
        return self.evaluate()

    async def is_alive(self) -> bool:
        """Returns True: a process whose event loop hangs does not answer at all."""
        return True

    @staticmethod
    def _run(name: str, check: Callable[[], Check]) -> Check:
        try:
            return replace(check(), name=name)
        except Exception as error:  # noqa: BLE001  # whatever it is, the report must be made
            _log.exception("a health check failed to run", check=name)
            message = f"the check itself failed: {type(error).__name__}"
            return Check(name, healthy=False, critical=True, message=message)
