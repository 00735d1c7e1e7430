import pytest

from vecguard.input_text import TextError, cleaned, decoded


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("\n", ""),
        ("\ufeff\r\n", ""),
        ("secret", "secret"),
        ("secret\n", "secret"),
        ("secret\r\n\r\n\n", "secret"),
        ("\ufeffsecret", "secret"),
        (" sec ret ", " sec ret "),
        (" \n", " "),
        ("\u00a0pässwörd 密码\u3000", "\u00a0pässwörd 密码\u3000"),
    ],
)
def test_a_leading_mark_and_trailing_line_breaks_are_removed(text, kept):
    assert cleaned(text) == kept
    assert decoded(text.encode()) == kept


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("hun\nter\n", r"a line break \(U\+000A\) at character 4"),
        ("\nhunter", r"a line break \(U\+000A\) at character 1"),
        ("hunter\n ", "a line break"),
        ("hun\tter", r"a control character \(U\+0009\)"),
        ("hun\0ter", r"a control character \(U\+0000\)"),
        ("hunter\x85", r"a control character \(U\+0085\)"),
        ("hun\u2028ter", r"a control character \(U\+2028\)"),
        ("\ufeff\ufeffhunter", "a byte order mark"),
        ("hunter\n\ufeff", "a line break"),
        ("hunter\udcff", "not UTF-8 text"),
    ],
)
def test_any_other_control_character_is_an_error_that_hides_the_text(text, complaint):
    with pytest.raises(TextError, match=complaint) as caught:
        cleaned(text)
    assert "hun" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("hunter".encode("utf-16"), "UTF-16"),
        ("hunter\n".encode("utf-16-le"), "control character"),
        (b"\xfe\xff" + "hunter".encode("utf-16-be"), "UTF-16"),
        ("hünter".encode("latin-1"), "not UTF-8 text"),
    ],
)
def test_bytes_that_are_no_utf_8_are_an_error_that_hides_them(content, complaint):
    with pytest.raises(TextError, match=complaint) as caught:
        decoded(content)
    assert "nter" not in str(caught.value)
    assert caught.value.__cause__ is None
