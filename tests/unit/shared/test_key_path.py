import pytest

from vecguard.key_path import join


@pytest.mark.parametrize(
    ("elements", "joined"),
    [
        # Go's rules for Join: empty elements are left out.
        ((), ""),
        (("",), ""),
        (("", ""), ""),
        (("a",), "a"),
        (("a", ""), "a"),
        (("", "a"), "a"),
        (("", "meta"), "meta"),
        (("", "", "a", "", "b"), "a/b"),
        (("by-dev", "meta"), "by-dev/meta"),
        (("a", "../../../xyz"), "../../xyz"),
        (("a/b", "../../../xyz"), "../xyz"),
        (("a/b", "/c"), "a/b/c"),
        (("/a", "/b"), "/a/b"),
        (("/", "a"), "/a"),
        (("/", "/"), "/"),
        (("a/", "b/"), "a/b"),
        (("//", "a"), "/a"),
        ((" ", "a"), " /a"),
        # Go's rules for Clean: one slash of several, no trailing slash.
        (("abc//def//ghi",), "abc/def/ghi"),
        (("//abc",), "/abc"),
        (("///abc",), "/abc"),
        (("//abc//",), "/abc"),
        (("abc///",), "abc"),
        (("///",), "/"),
        # No `.` elements.
        (("abc/./def",), "abc/def"),
        (("/./abc/def",), "/abc/def"),
        (("abc/.",), "abc"),
        ((".",), "."),
        (("./",), "."),
        ((".", "abc"), "abc"),
        # `..` elements stay only where they lead out of a relative path.
        (("abc/def/ghi/../jkl",), "abc/def/jkl"),
        (("abc/def/..",), "abc"),
        (("abc/def/../..",), "."),
        (("/abc/def/../..",), "/"),
        (("abc/def/../../..",), ".."),
        (("/abc/def/../../..",), "/"),
        (("/../abc",), "/abc"),
        (("abc/./../def",), "def"),
        (("abc//./../def",), "def"),
        (("abc/../../././../def",), "../../def"),
        ((".", ".."), ".."),
        # Dots that are no elements stay.
        (("...", "a"), ".../a"),
        (("a.b", ".c"), "a.b/.c"),
    ],
)
def test_elements_are_joined_as_by_go(elements, joined):
    assert join(*elements) == joined
