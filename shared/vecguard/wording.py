"""Writes numbers with their nouns and units."""

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def counted(number: int, one: str, many: str) -> str:
    """Returns a number with its noun: "1 proxy", "0 proxies"."""
    return f"{number} {one if number == 1 else many}"


def duration(seconds: float) -> str:
    """Returns a time span for people, in its largest unit that is not zero."""
    for length, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if abs(seconds) >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
