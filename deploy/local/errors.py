from vecguard.errors import VecguardError


class LocalStackError(VecguardError):
    """The local stack cannot start or cannot go on; the text is for the person at the terminal."""

    reason = "local_stack"
