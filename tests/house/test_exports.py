"""`__all__` is what a module offers: nothing less, nothing that is not there."""

import ast
import importlib

import pytest

from tests.house.source import PACKAGE, Source, definitions, sources, statements

TYPE_VARIABLES = {"TypeVar", "ParamSpec", "TypeVarTuple"}
EXPORTING = [source for source in sources() if "\n__all__" in f"\n{source.text}"]


@pytest.mark.parametrize("source", EXPORTING, ids=lambda source: source.module)
def test_all_is_what_the_module_offers(source: Source) -> None:
    offered = exported(source)
    assert sorted(set(offered)) == sorted(offered), "a name is there twice"
    assert public_names(source) - set(offered) == set(), "public and not in __all__"
    assert set(offered) - defined(source) - imported(source) - {"__version__"} == set(), "in __all__ and not there"


@pytest.mark.parametrize("source", EXPORTING, ids=lambda source: source.module)
def test_every_name_of_all_can_be_had(source: Source) -> None:
    module = importlib.import_module(source.module)
    assert [name for name in exported(source) if not hasattr(module, name)] == []


def test_the_root_exports_all_that_it_imports_from_its_rooms() -> None:
    root = next(source for source in sources() if source.path == PACKAGE / "__init__.py")
    assert {name for name in imported(root, "umbel") if not name.startswith("_")} - set(exported(root)) == set()


def exported(source: Source) -> list[str]:
    """Read the literal `__all__`."""
    for statement in source.tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return list(ast.literal_eval(value))
            case ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.expr() as value):
                return list(ast.literal_eval(value))
            case _:
                pass
    return []


def public_names(source: Source) -> set[str]:
    """Give what the module defines under a name without underscore, but for type variables."""
    return {name for name in defined(source, type_variables=False) if not name.startswith("_")}


def defined(source: Source, *, type_variables: bool = True) -> set[str]:
    """Give the names of classes, functions and values that the module makes itself."""
    names = {definition.name for definition in definitions(source.tree.body)}
    for statement in statements(source.tree.body):
        match statement:
            case ast.Assign(targets=targets, value=value) if type_variables or not _is_type_variable(value):
                names |= {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case _:
                pass
    return names


def imported(source: Source, package: str = "") -> set[str]:
    """Give the names that the module imports from *package* and from what is in it."""
    froms = (statement for statement in statements(source.tree.body) if isinstance(statement, ast.ImportFrom))
    names = {a.asname or a.name for s in froms if (s.module or "").startswith(package) for a in s.names}
    return names - {"annotations", "TYPE_CHECKING"}


def _is_type_variable(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] in TYPE_VARIABLES
