"""SQL and Lua have files of their own, where editors, linters and reviewers know them."""

import ast
import re

import pytest

from tests.house.source import Source, docstring_of, sources

FOREIGN = re.compile(
    r"""^\s*(
        select\s+(.+\sfrom\s|\d|\w+\() | insert\s+(or\s+\w+\s+)?into\s | replace\s+into\s | update\s+\w+\s+set\s
        | delete\s+from\s | (create|drop|alter)\s+(unique\s+)?(table|index|view|trigger)\s | with\s+\w+\s+as\s*\(
    ) | \bredis\.p?call\b""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def test_no_string_is_a_program_in_another_language() -> None:
    assert [found for source in sources() for found in foreign(source)] == []


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id FROM jobs",
        "select 1",
        "insert or ignore into jobs values (?)",
        "\n  update jobs set state = ?",
        "delete from jobs ",
        "create table jobs (id text)",
        "with due as (select 1)",
        "return redis.call('ping')",
    ],
)
def test_programs_are_recognised(text: str) -> None:
    assert FOREIGN.search(text)


@pytest.mark.parametrize("text", ["select a queue", "update", "create the file", "redis", "with care", "insert"])
def test_sentences_are_not(text: str) -> None:
    assert not FOREIGN.search(text)


def foreign(source: Source) -> list[str]:
    """Describe the string literals of *source* that look like SQL or Lua; docstrings do not count."""
    docstrings = {id(found.value) for node in ast.walk(source.tree) if (found := docstring_of(node))}
    literals = (
        node
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    )
    return [source.at(node, str(node.value)[:60]) for node in literals if FOREIGN.search(str(node.value))]
