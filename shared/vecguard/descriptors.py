"""Raises the limit of file descriptors of a process."""

import resource


def raised_limit(wanted: int) -> int:
    """Raises the process's soft limit to `wanted`, as far as permitted. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft >= wanted:
        return soft
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    except (OSError, ValueError):  # some systems report a limit that they do not grant
        return soft
    return limit
