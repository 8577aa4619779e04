"""The code of this repository, as text and as syntax trees."""

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "umbel"
EVERYWHERE = ("src", "tests", "examples", "benchmarks")

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: Path
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text, str(self.path))

    @property
    def lines(self) -> int:
        """How many lines it has."""
        return len(self.text.splitlines())

    @property
    def module(self) -> str:
        """The dotted name under which it is imported; only for files of the package."""
        parts = self.path.relative_to(PACKAGE.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def at(self, node: ast.stmt | ast.expr, what: str) -> str:
        """Write *what* with the place of *node*, as an editor understands it."""
        return f"{self.path.relative_to(ROOT)}:{node.lineno}: {what}"


def sources(*folders: str) -> tuple[Source, ...]:
    """Give every Python file below *folders* of the repository, those of the package if none is named."""
    return tuple(source for folder in folders or ("src",) for source in _below(folder))


@cache
def _below(folder: str) -> tuple[Source, ...]:
    """Read the files of one folder once, so that each has one syntax tree, whoever asks for it."""
    return tuple(Source(path, path.read_text()) for path in sorted((ROOT / folder).rglob("*.py")))


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Walk through *body* and into its `if`, `try` and `with` blocks, not into functions and classes."""
    for statement in body:
        yield statement
        for name in ("body", "orelse", "finalbody"):
            if not isinstance(statement, Definition):
                yield from statements(getattr(statement, name, []))
        for handler in getattr(statement, "handlers", []):
            yield from statements(handler.body)


def definitions(body: list[ast.stmt]) -> Iterator[Definition]:
    """Give the functions and classes that *body* defines, whatever conditions are round them."""
    return (statement for statement in statements(body) if isinstance(statement, Definition))


def decorators(definition: Definition) -> set[str]:
    """Give the last words of the decorators: "overload", "setter", …."""
    words = {ast.unparse(decorator).partition("(")[0] for decorator in definition.decorator_list}
    return {word.rpartition(".")[2] for word in words}


def docstring_of(node: ast.AST) -> ast.Expr | None:
    """Give the statement that is the docstring of *node*, if it has one."""
    match node:
        case (
            ast.Module(body=body)
            | ast.ClassDef(body=body)
            | ast.FunctionDef(body=body)
            | ast.AsyncFunctionDef(body=body)
        ):
            first = body[0] if body else None
        case _:
            return None
    match first:
        case ast.Expr(value=ast.Constant(value=str())):
            return first
        case _:
            return None


def project() -> dict[str, Any]:
    """Read pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())
