from vecguard.errors import VecguardError


class LocalStackError(VecguardError):
    """The local stack cannot start or continue; the text is for the person at the terminal."""

    reason = "local_stack"
