"""Lays out tables that a phone shows as cards, and lists of facts."""

from collections.abc import Container, Sequence
from xml.etree.ElementTree import Element

from vecguard.observability.status_page.html import Content, element


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[Content]],
    *,
    numbers: Container[int] = (),
    texts: Container[int] = (),
    class_: str | None = None,
) -> Element:
    """Returns a table.

    Args:
        headings: one for each column.
        rows: the cells.
        numbers: the columns that are aligned to the right.
        texts: the columns that may break anywhere, because their texts come from elsewhere.
        class_: the table's CSS class.
    """

    def kind(column: int) -> str | None:
        return "number" if column in numbers else "text" if column in texts else None

    return element(
        "table",
        element(
            "thead",
            element(
                "tr",
                *(
                    element("th", heading, scope="col", class_=kind(column))
                    for column, heading in enumerate(headings)
                ),
            ),
        ),
        element(
            "tbody",
            *(
                element(
                    "tr",
                    *(
                        element("td", cell, data_label=heading, class_=kind(column))
                        for column, (heading, cell) in enumerate(zip(headings, row, strict=True))
                    ),
                )
                for row in rows
            ),
        ),
        class_=class_,
    )


def facts(*pairs: tuple[str, Content] | None) -> Element:
    """Returns a list of names with their values; None is left out."""
    return element(
        "dl",
        *(
            element("div", element("dt", name), element("dd", value))
            for name, value in filter(None, pairs)
        ),
    )


def section(title: str, *content: Element) -> Element:
    """Returns a part of the page with its heading."""
    return element("section", element("h2", title), *content)


def badge(text: str, kind: str) -> Element:
    """Returns a word on a coloured ground; `kind` is good, warning, wrong or quiet."""
    return element("span", text, class_=f"badge {kind}")
