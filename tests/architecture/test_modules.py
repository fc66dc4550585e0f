"""Modules and functions stay small enough to be read, and say by their names what they are for."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
MODULES = sorted(PROJECT.glob("*/*/src/**/*.py"))
# Not those of the tools and libraries that are installed in hidden directories.
TESTS = sorted(
    path
    for path in PROJECT.glob("**/tests/**/*.py")
    if not any(part.startswith(".") for part in path.relative_to(PROJECT).parts)
)
MOST_LINES_A_MODULE = 300
MOST_LINES_A_FUNCTION = 70
NAMES_THAT_SAY_NOTHING = {"base", "common", "helper", "helpers", "lib", "misc", "tools", "util", "utils"}

each_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: "/".join(module.parts[-2:]))


def lines_of_code(source: str, node: ast.AST) -> int:
    """Lines that hold code: blank lines, comments and docstrings make nothing harder to read."""
    prose = {
        line
        for part in ast.walk(node)
        if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) and isinstance(part.value.value, str)
        for line in range(part.lineno, (part.end_lineno or part.lineno) + 1)
    }
    first, last = getattr(node, "lineno", 1), getattr(node, "end_lineno", None) or len(source.splitlines())
    return sum(
        bool(text) and not text.startswith("#")
        for number, line in enumerate(source.splitlines(), 1)
        if first <= number <= last and number not in prose
        for text in [line.strip()]
    )


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_there_are_modules() -> None:
    assert len(MODULES) > 50


@each_module
def test_a_module_fits_in_the_head(module: Path) -> None:
    source = module.read_text()
    assert lines_of_code(source, ast.parse(source)) <= MOST_LINES_A_MODULE


@each_module
def test_a_function_fits_on_a_screen(module: Path) -> None:
    source = module.read_text()
    long = {
        node.name: lines
        for node in functions(ast.parse(source))
        if (lines := lines_of_code(source, node)) > MOST_LINES_A_FUNCTION
    }
    assert long == {}


@each_module
def test_a_module_has_a_name_that_says_something(module: Path) -> None:
    assert not NAMES_THAT_SAY_NOTHING & set(module.with_suffix("").relative_to(PROJECT).parts[3:])


@pytest.mark.parametrize("module", [*MODULES, *TESTS], ids=lambda module: "/".join(module.parts[-2:]))
def test_nothing_is_left_for_later(module: Path) -> None:
    marks = re.compile(r"#.*\b(TO" "DO|FIX" "ME|XXX|HACK)\b")  # in two parts, or it would find itself
    assert [line for line in module.read_text().splitlines() if marks.search(line)] == []


def test_lines_of_code_are_counted_without_prose() -> None:
    source = 'def f() -> int:\n    """What it\n    does."""\n\n    # why\n    x = 1  # so\n    return x\n'
    assert lines_of_code(source, ast.parse(source)) == 3


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in TESTS if path.name.startswith("test_")]
    assert sorted(names) == sorted(set(names))
