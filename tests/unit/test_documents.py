"""The documents say what the code says."""

import re
from pathlib import Path

import click
import pytest

from umbel.cli import main as cli
from umbel.settings import Settings

ROOT = Path(__file__).parents[2]


def test_the_settings_page_lists_each_setting_with_its_default() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", page, re.MULTILINE))
    settings = Settings()
    assert rows == {name: repr(getattr(settings, name)).replace("'", '"') for name in Settings.__struct_fields__}


def test_the_workers_page_lists_each_option_with_its_variable() -> None:
    page = (ROOT / "docs" / "worker.md").read_text()
    rows = dict(re.findall(r"^\| `([^`]+)` \| `(\w+)` \|", page, re.MULTILINE))
    context = click.Context(cli.group)
    command = cli.group.get_command(context, "worker")
    assert command is not None
    options = [
        each
        for each in command.get_params(context)
        if isinstance(each, click.Option) and "--help" not in each.opts and not each.hidden
    ]
    assert set(rows) == {" ".join(each.opts) for each in options}
    for each in [*options, *cli.group.params]:
        named = isinstance(each, click.Option) and " ".join(each.opts) in rows
        if named and isinstance(each.envvar, str):
            assert rows[" ".join(each.opts)] == each.envvar


@pytest.mark.parametrize(
    "page", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name
)
def test_every_link_between_documents_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_file_that_the_architecture_names_exists() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text().replace("/X/", "/redis/").replace("…/settle", "scripts/settle.lua")
    named = re.findall(r"(?<![\w/])[\w/]+/[\w*]+\.(?:py|lua|sql)", page)
    assert len(named) > 15
    for path in named:
        assert list((ROOT / "src" / "umbel").glob(path)), path
