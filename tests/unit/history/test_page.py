import re
from pathlib import Path

from umbel.history.fields import FIELDS
from umbel.history.grammar import Term, parse
from umbel.history.history import History

PAGE = (Path(__file__).parents[3] / "docs" / "history.md").read_text()
ROWS = re.findall(r"^\| (`[^|]+) \|", PAGE.partition("## Filters")[2].partition("## In Python")[0], re.MULTILINE)


def test_every_field_is_on_the_page_and_every_filter_of_it_is_one() -> None:
    filters = [each for row in ROWS for each in re.findall(r"`([^`]+)`", row)]
    trees = [parse(each) for each in filters]
    fields = {tree.field for tree in trees if isinstance(tree, Term)}
    assert {name for name in fields if "." not in name} == set(FIELDS)
    assert len(filters) > 25


def test_every_method_is_on_the_page() -> None:
    table = PAGE.partition("| method |")[2]
    methods = {name for name in vars(History) if not name.startswith("_")} - {"ingest", "close"}
    assert set(re.findall(r"`(\w+)\(", table)) == methods
