"""What others may call says what it does."""

import ast
from collections.abc import Iterator

from tests.house.source import ROOT, Definition, Source, decorators, definitions, docstring_of, sources

SPOKEN_FOR = {"overload", "setter", "deleter"}  # the implementation or the getter has the docstring


def test_every_module_has_a_docstring() -> None:
    assert [str(source.path) for source in sources() if source.text.strip() and not docstring_of(source.tree)] == []


def test_every_public_object_has_a_docstring() -> None:
    silent = [source.at(node, node.name) for source in sources() for node in public(source) if not docstring_of(node)]
    assert silent == []


def test_a_silent_public_object_is_found() -> None:
    text = """
if True:
    class Told:
        "Told."
        def silent(self): ...
        @overload
        def spoken_for(self): ...
        def __len__(self): ...
def _private(): ...
async def silent(): ...
"""
    silent = [node.name for node in public(Source(ROOT / "written.py", text)) if not docstring_of(node)]
    assert silent == ["silent", "silent"]


def public(source: Source) -> Iterator[Definition]:
    """Give the public classes and functions of a module, and the public methods of its public classes."""
    for definition in definitions(source.tree.body):
        if definition.name.startswith("_"):
            continue
        yield from _unless_spoken_for(definition)
        if isinstance(definition, ast.ClassDef):
            for method in definitions(definition.body):
                if not method.name.startswith(("_", "test_")):  # the name of a test is a sentence
                    yield from _unless_spoken_for(method)


def _unless_spoken_for(definition: Definition) -> Iterator[Definition]:
    if not decorators(definition) & SPOKEN_FOR:
        yield definition
