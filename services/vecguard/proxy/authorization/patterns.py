r"""Compiles the patterns of grants, by the rules of Go's `path.Match`.

`*` is any sequence of characters but `/`, `?` is any character but `/`, `[a-z]` and `[^a-z]` are
classes, and `\` before a character takes it as it is. Milvus matches objects and privileges so.
"""

import re
from functools import lru_cache
from typing import Final

_SPECIAL: Final = frozenset("*?[\\")
# Nothing matches it.
_NOTHING: Final = r"(?!)"
_ANYTHING: Final = r"(?s:.)"


class _InvalidPatternError(Exception):
    """Go's `ErrBadPattern`."""


def is_literal(text: str) -> bool:
    """Returns whether the text, as a pattern, matches itself only."""
    return _SPECIAL.isdisjoint(text)


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str] | None:
    """Returns an expression for `fullmatch`; None for a pattern that Go refuses.

    Go compares bytes, and this compares characters: names in Milvus are ASCII.
    """
    try:
        return re.compile(_expression(pattern))
    except _InvalidPatternError:
        return None


def _expression(pattern: str) -> str:
    # A chunk is what stands between two stars. Go takes the first place where a chunk matches and
    # never comes back to it. An atomic group does the same, so that no pattern takes long.
    chunks = [""]
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        match character:
            case "*":
                chunks.append("")
            case "?":
                chunks[-1] += "[^/]"
            case "[":
                expression, position = _class(pattern, position)
                chunks[-1] += expression
            case _:
                if character == "\\":
                    character, position = _character(pattern, position)
                chunks[-1] += re.escape(character)
    first, *middle = chunks
    if not middle:
        return first
    last = middle.pop()
    return "".join([first, *(f"(?>[^/]*?{chunk})" for chunk in middle), f"[^/]*?{last}"])


def _class(pattern: str, position: int) -> tuple[str, int]:
    """Reads a class from behind its `[`. Returns its expression and the position behind its `]`."""
    negated = pattern.startswith("^", position)
    position += negated
    alternatives: list[str] = []
    while not (alternatives and pattern.startswith("]", position)):
        low, position = _end_of_range(pattern, position)
        high = low
        if pattern.startswith("-", position):
            high, position = _end_of_range(pattern, position + 1)
        # Go takes a range that runs backwards and matches nothing by it.
        within = f"[{re.escape(low)}-{re.escape(high)}]" if low <= high else _NOTHING
        alternatives.append(within)
    expression = "|".join(alternatives)
    if negated:
        return f"(?!{expression}){_ANYTHING}", position + 1
    return f"(?:{expression})", position + 1


def _end_of_range(pattern: str, position: int) -> tuple[str, int]:
    if pattern.startswith(("-", "]"), position):
        raise _InvalidPatternError
    character, position = _character(pattern, position)
    return _character(pattern, position) if character == "\\" else (character, position)


def _character(pattern: str, position: int) -> tuple[str, int]:
    if position == len(pattern):
        raise _InvalidPatternError
    return pattern[position], position + 1
