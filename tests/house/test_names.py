"""A file and a class are named after what they are, not after what is left over."""

import ast
import re

import pytest

from tests.house.source import EVERYWHERE, sources

LEFT_OVER = {"util", "utils", "helper", "helpers", "common", "misc", "core"}
EMPTY_WORDS = re.compile(r"^(Base|Abstract)([A-Z]|$)|(Manager|Helper|Mixin)$")


def test_no_file_is_a_drawer() -> None:
    assert [str(s.path) for s in sources(*EVERYWHERE) if LEFT_OVER & {s.path.stem, s.path.parent.name}] == []


def test_no_class_has_an_empty_word_in_its_name() -> None:
    named = (s for s in sources(*EVERYWHERE) if re.search("Base|Abstract|Manager|Helper|Mixin", s.text))
    classes = ((s, node) for s in named for node in ast.walk(s.tree) if isinstance(node, ast.ClassDef))
    assert [source.at(node, node.name) for source, node in classes if EMPTY_WORDS.search(node.name)] == []


@pytest.mark.parametrize("name", ["BaseBroker", "Base", "AbstractStore", "JobManager", "QueueHelper", "LogMixin"])
def test_empty_words_are_found(name: str) -> None:
    assert EMPTY_WORDS.search(name)


@pytest.mark.parametrize("name", ["Baseline", "Broker", "ManagerView", "Abstraction"])
def test_other_words_are_not(name: str) -> None:
    assert not EMPTY_WORDS.search(name)
