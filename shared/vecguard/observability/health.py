"""What a process says about its own condition."""

from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from typing import Protocol

from vecguard.observability.log import get_logger

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """One condition at one moment.

    Attributes:
        name: what was looked at.
        healthy: whether it is as it should be.
        critical: whether the process can do nothing useful without it.
        message: what is the case; if unhealthy, also what it means. No secrets.
    """

    name: str
    healthy: bool
    critical: bool
    message: str


@dataclass(frozen=True, slots=True)
class Health:
    """All conditions at one moment."""

    checks: tuple[Check, ...]

    @property
    def ready(self) -> bool:
        """Whether the process can serve: every critical check is healthy."""
        return not self.failures

    def without(self, names: Container[str]) -> "Health":
        """The same, but for the checks with these names."""
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
    """Whoever can say how things are."""

    async def assess(self) -> Health:
        """What is the case now."""
        ...

    async def is_alive(self) -> bool:
        """Whether this can still become well without being started anew."""
        ...


class HealthReport:
    """The checks of a process, by name.

    A check is a plain function that looks at what is known already: it is called on the
    event loop for every request to the operations port, and must not block.
    """

    def __init__(self) -> None:
        self._checks: dict[str, Callable[[], Check]] = {}

    def register(self, name: str, check: Callable[[], Check]) -> None:
        """Add a check.

        Raises:
            ValueError: the name is taken.
        """
        if name in self._checks:
            raise ValueError(f"there is a health check named {name} already")
        self._checks[name] = check

    def evaluate(self) -> Health:
        """Run every check once. A check that fails to run counts as critical and unhealthy."""
        return Health(tuple(self._run(name, check) for name, check in self._checks.items()))

    async def assess(self) -> Health:
        """The same, as a `HealthSource`."""
        return self.evaluate()

    async def is_alive(self) -> bool:
        """Always: a process whose loop hangs does not even say this."""
        return True

    @staticmethod
    def _run(name: str, check: Callable[[], Check]) -> Check:
        try:
            return replace(check(), name=name)
        except Exception as error:  # noqa: BLE001  # whatever it is, the report must be made
            _log.exception("a health check failed to run", check=name)
            message = f"the check itself failed: {type(error).__name__}"
            return Check(name, healthy=False, critical=True, message=message)
