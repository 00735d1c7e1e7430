"""What the clients believe about passwords and permissions, to choose what they try next.

It judges nothing: that is the checker's part, from the history alone.
"""

from dataclasses import dataclass, field
from random import Random

from tests.chaos.history import Subject

# How many replaced versions are still tried.
_REMEMBERED = 6


@dataclass(slots=True)
class Account:
    """One user.

    Attributes:
        candidates: versions that may be the current one, the likeliest first.
        replaced: versions whose replacement was acknowledged, the newest last.
    """

    user: str
    candidates: list[int] = field(default_factory=lambda: [0])
    replaced: list[int] = field(default_factory=list)
    _newest: int = 0
    _attempt: tuple[int, int] | None = None

    def attempt(self) -> tuple[int, int]:
        """The next change: from the likeliest version to a new one.

        The same again as long as its outcome is unknown, which is said to be safe.
        """
        old = self.candidates[0]
        if self._attempt is None or self._attempt[0] != old:
            self._attempt = (old, self.next_version())
        return self._attempt

    def next_version(self) -> int:
        """A version that was never used."""
        self._newest += 1
        return self._newest

    def acknowledged(self, version: int) -> None:
        """This is the current one."""
        self._attempt = None
        self.replaced += [each for each in self.candidates if each != version]
        del self.replaced[:-_REMEMBERED]
        self.candidates = [version]

    def perhaps(self, version: int) -> None:
        """It may have become, or become later, the current one."""
        if version not in self.candidates:
            self.candidates.append(version)

    def was_wrong(self) -> None:
        """The likeliest one was not the current one."""
        self.candidates.append(self.candidates.pop(0))

    def something_to_try(self, random: Random) -> int:
        """Mostly the current one, often the one before, now and then others."""
        dice = random.random()
        if dice < 0.5 or not self.replaced:
            return self.candidates[0]
        if dice < 0.8:
            return self.replaced[-1]
        if dice < 0.9:
            return random.choice(self.replaced)
        return random.choice(self.candidates)


@dataclass(slots=True)
class Permission:
    """Whether one user may search one collection, which one change at a time decides.

    A change of a permission names nothing that it replaces. So one whose outcome is unknown may be
    made at any time, even after later changes, if its request was held on the way. Then the clients
    go on with the next generation, which has names of its own.

    Attributes:
        user: who searches, with version 0 of a password.
        version: the newest acknowledged one.
    """

    user: str
    subject: Subject
    generation: int = 0
    version: int = 0

    @property
    def name(self) -> str:
        """Also the name of the collection, and of the privilege group if there is one."""
        return f"{self.user}_{self.generation}"

    @property
    def role(self) -> str:
        """The role by which the user may search."""
        # A grant is of one collection, and a group may have one: the role may stay.
        return self.name if self.subject is Subject.MAPPING else self.user

    def attempt(self) -> tuple[int, int]:
        """The next change."""
        return self.version, self.version + 1

    def next_generation(self) -> "Permission":
        """Another permission of the same user."""
        return Permission(self.user, self.subject, self.generation + 1)


def allows(version: int) -> bool:
    """Whether a version of a permission allows: permissions are given and taken in turn."""
    return version % 2 == 1


def password(user: str, version: int) -> str:
    """The clear password of a version."""
    return f"{user}-password-{version}"
