"""Counts what finding digits is made of: ``python -m benchmarks.cost.constants [CHECKOUT]``, also for another checkout.

Lines of code are those with a token that is neither a comment nor a docstring. Constants are the numbers under a name in
capitals at the top of a module, each of a tuple's or a table's alone. Loose numbers are those in functions, without PLAIN.
Whether a constant was fitted to pictures is for people to judge.
"""

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

HERE = Path(__file__).parents[2]
FINDING = Path("app/reading/find")
PLAIN = {0, 1, 2, 0.5, 255}  # numbers of arithmetic and of bytes
SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


@dataclass(frozen=True)
class Counts:
    """What a module has: lines of code, numbers under a name, and loose ones."""

    lines: int
    constants: tuple[str, ...]
    loose: int


def count(source: str) -> Counts:
    """The counts of a module."""
    tree = ast.parse(source)
    named = [statement for statement in tree.body if _is_named(statement)]
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return Counts(
        lines=len(_lines_of_code(source, tree)),
        constants=tuple(name for statement in named for name in _names(statement) for _ in _numbers(_value(statement, name))),
        loose=sum(number not in PLAIN for function in functions for number in _numbers(function)),
    )


def _lines_of_code(source: str, tree: ast.Module) -> set[int]:
    """The numbers of the lines with code."""
    docstrings = [node for node in ast.walk(tree) if isinstance(node, ast.Expr) and _is_words(node)]
    words = {line for node in docstrings for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {line for token in tokens if token.type not in SILENT for line in range(token.start[0], token.end[0] + 1)} - words


def _is_words(node: ast.Expr) -> bool:
    """Whether it is a docstring."""
    return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_named(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign | ast.AnnAssign) and all(name.isupper() for name in _names(statement))


def _names(statement: ast.stmt) -> list[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [name.id for target in targets for name in ast.walk(target or ast.Pass()) if isinstance(name, ast.Name)]


def _value(statement: ast.stmt, name: str) -> ast.AST:
    """What a name is set to: its own part, where several names are set at once."""
    value: ast.AST = getattr(statement, "value", None) or ast.Pass()
    names = _names(statement)
    return value.elts[names.index(name)] if len(names) > 1 and isinstance(value, ast.Tuple) else value


def _numbers(node: ast.AST) -> Iterator[float]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, int | float) and not isinstance(each.value, bool):
            yield each.value


def main(
    checkout: Annotated[Path, typer.Argument(help="A checkout of the project.")] = HERE,
    package: Annotated[Path, typer.Option(help="The package to count.")] = FINDING,
) -> None:
    """Prints the counts of each module of a package and of all together."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    modules = {path.name: count(path.read_text(encoding="utf-8")) for path in sorted((checkout / package).glob("*.py"))}
    for name, each in modules.items():
        console.print(f"{name}: {each.lines} lines, {len(each.constants)} constants, {each.loose} loose numbers")
        if each.constants:
            console.print(f"    {', '.join(each.constants)}")
    lines, constants, loose = (
        sum(figures)
        for figures in zip(*((each.lines, len(each.constants), each.loose) for each in modules.values()), strict=True)
    )
    console.print(f"all: {lines} lines, {constants} constants, {loose} loose numbers")


if __name__ == "__main__":
    typer.run(main)
