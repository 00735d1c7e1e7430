import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.services.proxy.authorization.reference import matches, terms_of
from vecguard.proxy.authorization.patterns import compiled, is_literal


def is_match(pattern: str, text: str) -> bool:
    expression = compiled(pattern)
    return expression is not None and expression.fullmatch(text) is not None


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("", [""], ["a"]),
        ("abc", ["abc"], ["ab", "abcd", "ABC", ""]),
        ("*", ["", "abc", "a.b", "é\n"], ["/", "a/b"]),
        ("a*", ["a", "abc"], ["ba", "a/c"]),
        ("*c", ["c", "abc"], ["cb", "a/c"]),
        ("a*/b", ["a/b", "abc/b"], ["a/c/b"]),
        ("a*b*c*d", ["abcd", "axbxcxd", "abcbcd"], ["abcdx", "acbd"]),
        ("?", ["a", ".", "é", "\n"], ["", "ab", "/"]),
        ("a?c", ["abc", "a-c"], ["ac", "a/c"]),
        ("[ab]", ["a", "b"], ["c", "", "ab", "["]),
        ("[a-c]x", ["ax", "cx"], ["dx", "-x"]),
        ("[^a-c]", ["d", "^", "\n"], ["a", "b", ""]),
        ("[a^]", ["a", "^"], ["b"]),
        ("[[]", ["["], ["]", "[[]"]),
        ("[*?]", ["*", "?"], ["a", ""]),
        ("[\\]]", ["]"], ["\\"]),
        ("[\\-x]", ["-", "x"], ["\\", "a"]),
        ("[a\\-c]", ["a", "-", "c"], ["b", "\\"]),
        ("[!-~]", ["a", "-", "]"], [" "]),
        ("[é-ü]", ["é", "ö"], ["a"]),
        ("[&&||+]", ["&", "|", "+"], ["a", "-"]),
        ("a]", ["a]"], ["a"]),
        ("a-b^c", ["a-b^c"], []),
        ("\\*", ["*"], ["a", "\\*"]),
        ("\\a\\\\", ["a\\"], ["a"]),
        ("(a|b)+.$", ["(a|b)+.$"], ["a.", "aa"]),
        # A class may match the slash, and a range may be empty.
        ("a[^b]c", ["a/c"], ["abc"]),
        ("[z-a]", [], ["a", "z", "-"]),
        ("[^z-a]", ["a", "/"], [""]),
        ("[z-ab]", ["b"], ["a", "z"]),
    ],
)
def test_a_pattern_matches_as_in_go(pattern, matching, others):
    for text in matching:
        assert is_match(pattern, text), text
    for text in others:
        assert not is_match(pattern, text), text


@pytest.mark.parametrize(
    "pattern",
    [
        *("[", "[a", "[]", "[]a]", "[^]", "[^]a]", "[-]", "[-a]", "[a-]", "[a-", "[a-]b]"),
        *("[a-b-c]", "\\", "a\\", "[\\", "[a\\", "[a-\\", "*[", "a[b]c[", "[--a]", "[&--]"),
    ],
)
def test_a_pattern_that_go_refuses_is_invalid(pattern):
    assert compiled(pattern) is None


def test_a_star_takes_the_first_place_where_the_rest_matches():
    # Go does not come back to try the slash with the class.
    assert not is_match("*[/b]*c", "b/c")
    assert is_match("*[/b]*c", "bc")


def test_a_pattern_of_many_stars_takes_no_longer_than_others():
    # An expression that tries every division of the text would not end.
    assert not is_match("*a" * 40 + "b", "a" * 200)
    assert is_match("*a" * 40, "a" * 200)


@pytest.mark.parametrize("text", ["", "a.b", "docs_2", "a]", "^-"])
def test_a_text_without_special_characters_is_literal(text):
    assert is_literal(text)
    assert is_match(text, text)


@pytest.mark.parametrize("text", ["*", "a?", "[a]", "a\\b"])
def test_a_text_with_special_characters_is_not(text):
    assert not is_literal(text)


@given(
    st.text(alphabet="ab[]^-\\*?.é", max_size=12),
    st.lists(st.text(alphabet="ab[]^-\\*?.é", max_size=8), max_size=10),
)
@example("[a-b]*?\\*", ["ax*", "b*"])
def test_any_pattern_is_read_as_by_the_model(pattern, texts):
    assert (compiled(pattern) is None) == (terms_of(pattern) is None)
    for text in texts:
        assert is_match(pattern, text) == matches(pattern, text), text
