"""The changelog has the form of Keep a Changelog, and the version belongs to it."""

import re
import tomllib
from datetime import date
from pathlib import Path

from vecguard.config.removed import REMOVED

CHECKOUT = Path(__file__).parents[3]
TEXT = (CHECKOUT / "CHANGELOG.md").read_text()
VERSION = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
HEADINGS = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
# As keepachangelog.com names them; a remark in brackets may follow.
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
IMAGE = r"vecguard-(?:proxy|root-coord|cli|milvus-lite)"


def numbers(version):
    return tuple(map(int, version.split(".")))


def releases():
    """(numbers, day) of each section that is a release, in the order of the file."""
    found = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - ([\d-]+)", each) for each in HEADINGS[1:]]
    assert all(found), HEADINGS
    return [(numbers(each[1]), date.fromisoformat(each[2])) for each in found]


def test_what_is_not_released_comes_first_and_then_the_releases_down_to_0_1_0():
    assert HEADINGS[0] == "[Unreleased]"
    versions, days = zip(*releases(), strict=True)
    assert list(versions) == sorted(set(versions), reverse=True)
    assert list(days) == sorted(days, reverse=True)
    assert versions[-1] == (0, 1, 0)


def test_a_section_has_each_kind_of_changes_once():
    for section in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]:
        headings = re.findall(r"^### (.*)$", section, re.MULTILINE)
        kinds = [heading.partition(" (")[0] for heading in headings]
        assert set(kinds) <= KINDS
        assert len(set(kinds)) == len(kinds)
        assert kinds or section.startswith("[Unreleased]")


def test_the_version_is_the_newest_release_or_leads_to_a_later_one():
    release, dev = re.fullmatch(r"(\d+\.\d+\.\d+)(\.dev\d+)?", VERSION).groups()
    newest, _ = releases()[0]
    assert numbers(release) > newest if dev else numbers(release) == newest


def test_no_setting_was_removed_in_a_later_version():
    for removed in REMOVED.values():
        assert numbers(removed.release) <= numbers(VERSION.partition(".dev")[0])


def test_manifests_and_docs_name_the_images_of_this_version():
    named = set()
    for folder in ("deploy", "docs"):
        for file in (CHECKOUT / folder).rglob("*"):
            if file.suffix in {".yaml", ".md"}:
                text = file.read_text()
                named |= set(re.findall(IMAGE + r":(\d+\.[\w.]*\w)", text))
                named |= set(re.findall(IMAGE + r"[^:}]*newTag: ([\w.]+)", text))
                named |= set(re.findall(r"IMAGE_TAG:-(.*?)\}", text))
    assert named == {VERSION}
