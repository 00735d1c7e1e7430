"""Writes numbers with their nouns."""


def counted(number: int, one: str, many: str) -> str:
    """Returns a number with its noun: "1 proxy", "0 proxies"."""
    return f"{number} {one if number == 1 else many}"
