r"""Cleans text from files, standard input, environment variables and YAML, by one rule.

Editors and tools add invisible characters to text: `echo` and YAML block scalars a line break,
Windows a byte order mark. So:

- bytes are UTF-8;
- a leading byte order mark (U+FEFF) and all trailing line breaks (`\r`, `\n`) are removed;
- any other control character, line break or byte order mark is an error.

Blanks stay, because a Milvus password or user name may begin or end with one.
"""

import unicodedata
from typing import Final

_MARK: Final = "\ufeff"
_LINE_BREAKS: Final = "\r\n"
# Control characters, line separators, paragraph separators.
_REFUSED_CATEGORIES: Final = frozenset({"Cc", "Zl", "Zp"})
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")


class TextError(ValueError):
    """The text cannot be used. The message continues a name and never holds the text."""


def decoded(content: bytes) -> str:
    """Returns the text of a file or of a line of standard input.

    Raises:
        TextError: it is not UTF-8, or `cleaned` refuses it.
    """
    try:
        return cleaned(content.decode())
    except UnicodeDecodeError:
        # Without the cause: its traceback would show the bytes.
        kind = " but UTF-16" if content.startswith(_UTF_16) else ""
        raise TextError(f"is not UTF-8 text{kind}; save it as UTF-8") from None


def cleaned(text: str) -> str:
    """Returns the text without a leading byte order mark and trailing line breaks.

    Raises:
        TextError: the rest contains a control character or a line break, or a lone surrogate,
            as from an environment variable that is not UTF-8.
    """
    text = text.removeprefix(_MARK).rstrip(_LINE_BREAKS)
    for position, character in enumerate(text, start=1):
        category = unicodedata.category(character)
        if category == "Cs":
            raise TextError("is not UTF-8 text")
        if category in _REFUSED_CATEGORIES or character == _MARK:
            raise TextError(
                f"contains {_name(character)} (U+{ord(character):04X}) at character {position}; "
                "only trailing line breaks are removed"
            )
    return text


def _name(character: str) -> str:
    if character in _LINE_BREAKS:
        return "a line break"
    return "a byte order mark" if character == _MARK else "a control character"
