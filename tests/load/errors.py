class LoadError(Exception):
    """The load cannot be made. The text says what is wrong and what to do."""
