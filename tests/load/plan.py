"""What a run does: its scenarios and their rates."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.load.arrivals import Arrivals, Pattern
from tests.load.driver import Scenario
from tests.load.scenarios.change import PasswordChanges
from tests.load.scenarios.churn import ConnectionChurn
from tests.load.scenarios.first import FirstLogins
from tests.load.scenarios.known import KnownLogins
from tests.load.scenarios.wrong import WrongPasswords
from tests.load.target import Target
from tests.load.users import LoadUsers

#: Attempts per second. Each of `first`, `wrong` and `change` costs bcrypt: see docs/capacity.md.
DEFAULT_RATES: Mapping[str, float] = {
    "known": 200.0,
    "first": 1.0,
    "wrong": 1.0,
    "change": 1.0,
    "churn": 5.0,
}


@dataclass(frozen=True)
class Plan:
    """Attributes:
    seconds: how long attempts keep coming.
    rates: attempts per second by scenario; 0 leaves one out.
    pattern: how attempts are spread.
    users: how many users `known`, `wrong`, `change` and `churn` have, each of them.
    seed: of the arrivals.
    """

    seconds: float
    rates: Mapping[str, float] = field(default_factory=lambda: DEFAULT_RATES)
    pattern: Pattern = Pattern.POISSON
    users: int = 5
    seed: int = 0

    def scenarios(self, target: Target, load_users: LoadUsers) -> Mapping[Scenario, Arrivals]:
        every: tuple[Scenario, ...] = (
            KnownLogins(target, load_users, self.users),
            FirstLogins(target, load_users, self.rates.get("first", 0.0) * self.seconds),
            WrongPasswords(target, load_users, self.users),
            PasswordChanges(target, load_users, self.users),
            ConnectionChurn(target, load_users, self.users),
        )
        return {
            each: Arrivals(rate, self.seconds, self.pattern)
            for each in every
            if (rate := self.rates.get(each.name, 0.0))
        }
