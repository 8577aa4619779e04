"""What pages are made of: templates that can only escape, and files that are small."""

from __future__ import annotations

import gzip
import re
from importlib.resources import files
from pathlib import Path
from typing import Final

import pytest

from umbel.dashboard.assets import Assets
from umbel.dashboard.live.topics import TOPICS
from umbel.dashboard.routes import PAGES

HERE: Final = Path(str(files("umbel.dashboard")))
TEMPLATES: Final = sorted((HERE / "templates").glob("*.html"))
OURS: Final = {"macros.html", "base.html"}
SCRIPTS_BYTES: Final = (160 * 1024, 60 * 1024)
STYLES_BYTES: Final = (40 * 1024, 10 * 1024)
BANNED: Final = {
    r"\|\s*safe\b": "escapes nothing",
    r"autoescape\s+false": "escapes nothing",
    r"\sstyle\s*=": "is refused by the policy",
    r"<style\b": "is refused by the policy",
    r"<script(?![^>]*\ssrc=)": "is refused by the policy",
    r"\son[a-z]+\s*=\s*[\"']": "is refused by the policy",
    r"\bhx-on\b": "needs what the policy refuses",
    r"javascript:": "is refused by the policy",
}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_templates_can_only_escape(template: Path) -> None:
    assert _wrong(template.name, template.read_text()) == []


def test_what_does_not_escape_is_found() -> None:
    bad = "<p style='a'>{{ x | safe }}</p><script>1</script><a onclick='x' hx-get='/y'>"
    assert len(_wrong("jobs.html", bad)) == 5


def test_no_module_makes_markup() -> None:
    assert [path.name for path in HERE.rglob("*.py") if "Markup" in path.read_text()] == []


def test_scripts_and_styles_are_small() -> None:
    for ending, (raw, packed) in {"js": SCRIPTS_BYTES, "css": STYLES_BYTES}.items():
        found = [path.read_bytes() for path in (HERE / "static").rglob(f"*.{ending}")]
        assert found
        assert sum(map(len, found)) <= raw
        assert sum(len(gzip.compress(each, 9)) for each in found) <= packed


def test_a_file_travels_packed_under_a_name_that_changes_with_it() -> None:
    assets = Assets("/umbel")
    address = assets.url("umbel.css")
    assert re.fullmatch(r"/umbel/static/umbel\.[0-9a-f]{12}\.css", address)
    found = assets.get(address.removeprefix("/umbel/static/"))
    assert found is not None
    assert gzip.decompress(found.packed) == found.content
    assert assets.get("umbel.css") is None


def test_every_topic_of_a_page_is_watched() -> None:
    assert {topic for page in PAGES for topic in page.topics} <= TOPICS.keys()


def _wrong(name: str, text: str) -> list[str]:
    found = [f"{name}: {match[0]!r} {why}" for pattern, why in BANNED.items() if (match := re.search(pattern, text))]
    if name not in OURS and (match := re.search(r"\s(data-)?hx-[a-z]+", text)):
        found.append(f"{name}: {match[0]!r} belongs into macros.html")
    return found
