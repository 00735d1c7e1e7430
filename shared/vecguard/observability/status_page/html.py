"""Makes elements of HTML and SVG.

ElementTree writes them, and escapes every text and every value of an attribute as it does.
"""

from typing import Final
from xml.etree.ElementTree import Element, tostring

Content = Element | str

#: Its text is written as it is, by ElementTree as by browsers: only constants belong there.
_RAW: Final = ("script", "style")


def element(tag: str, *content: Content | None, **attributes: str | None) -> Element:
    """Returns an element.

    Args:
        tag: its name.
        content: texts and elements in their order; None is left out.
        attributes: by name; `_` stands for `-` and at the end for nothing, as in `class_`. None
            is left out.
    """
    made = Element(
        tag,
        {
            name.rstrip("_").replace("_", "-"): value
            for name, value in attributes.items()
            if value is not None
        },
    )
    for each in content:
        if isinstance(each, Element):
            made.append(each)
        elif each is not None:
            _append_text(made, each)
    return made


def document(head: list[Element], body: list[Element]) -> bytes:
    """Returns a whole page.

    Raises:
        ValueError: an element in `body` would be written without escapes.
    """
    root = element("html", element("head", *head), element("body", *body), lang="en")
    if any(each.tag in _RAW for part in body for each in part.iter()):
        raise ValueError("a page has no script and no style in its body")
    text = tostring(root, encoding="unicode", method="html")
    # A text may hold half a surrogate pair.
    return f"<!doctype html>\n{text}\n".encode(errors="replace")


def _append_text(parent: Element, text: str) -> None:
    if len(parent):
        parent[-1].tail = (parent[-1].tail or "") + text
    else:
        parent.text = (parent.text or "") + text
