"""The global generator of `random` belongs to the program: a task that seeds it meets its own sequence."""

import ast

import pytest

from tests.house.source import Source, sources

PRIVATE = {"Random", "SystemRandom"}


def test_nobody_draws_from_the_programs_random() -> None:
    named = (source for source in sources() if "random" in source.text)  # to read all the others takes seconds
    assert [found for source in named for found in drawn(source.tree, source)] == []


@pytest.mark.parametrize(
    "text",
    [
        "import random\nrandom.random()",
        "import random as chance\nchance.shuffle([])",
        "from random import uniform",
        "from random import Random, choice as chosen",
    ],
)
def test_whoever_draws_from_it_is_found(text: str) -> None:
    assert len(drawn(ast.parse(text))) == 1


@pytest.mark.parametrize("text", ["import random\nrandom.Random(3).random()", "from random import SystemRandom"])
def test_generators_of_ones_own_are_free(text: str) -> None:
    assert drawn(ast.parse(text)) == []


def drawn(tree: ast.Module, source: Source | None = None) -> list[str]:
    """Describe where *tree* uses the functions of the module `random`, under whatever name."""
    found: list[tuple[ast.stmt | ast.expr, str]] = []
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=imported):
                names |= {each.asname or each.name for each in imported if each.name == "random"}
            case ast.ImportFrom(module="random", names=imported):
                found += [(node, each.name) for each in imported if each.name not in PRIVATE]
            case _:
                pass
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=word) if name in names and word not in PRIVATE:
                found.append((node, word))
            case _:
                pass
    return [source.at(node, word) if source is not None else word for node, word in found]
