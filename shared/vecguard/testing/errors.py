from vecguard.errors import VecguardError


class StackError(VecguardError):
    """A stack of containers cannot be started, or cannot do what it was asked to do."""

    reason = "container_stack"
