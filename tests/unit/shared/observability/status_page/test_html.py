import pytest

from vecguard.observability.status_page.html import document, element


def written(content):
    return document([], [content]).decode()


def test_texts_and_elements_keep_their_order():
    made = written(element("p", "a", "b", element("i", "c"), "d", None, element("br"), "e"))
    assert "<p>ab<i>c</i>d<br>e</p>" in made


def test_a_text_is_escaped_before_and_after_an_element_and_in_an_attribute():
    made = written(element("p", "<a>", element("i"), "<b>&", title='"<c>'))
    assert '<p title="&quot;<c&gt;">&lt;a&gt;<i></i>&lt;b&gt;&amp;</p>' in made


def test_names_of_attributes_are_those_of_html():
    made = written(element("p", class_="x", data_label="y", title=None))
    assert '<p class="x" data-label="y"></p>' in made


@pytest.mark.parametrize("tag", ["script", "style"])
def test_what_is_not_escaped_is_not_in_a_body(tag):
    with pytest.raises(ValueError, match="no script"):
        document([], [element("p", element(tag, "x"))])
    with pytest.raises(ValueError, match="no script"):
        document([], [element(tag, "x")])
