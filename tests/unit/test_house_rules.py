"""Small and plain: the size of modules and functions is bounded, and exceptions are listed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted([*ROOT.glob("prolight/**/*.py"), *ROOT.glob("workers/**/*.py")])
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 45


def lines_without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    docstring = ast.get_docstring(function, clean=False)
    return (function.end_lineno or 0) - function.lineno - (docstring.count("\n") + 1 if docstring else 0)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_and_its_functions_are_small(module: Path) -> None:
    source = module.read_text()
    assert source.count("\n") <= MAX_MODULE_LINES
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    too_long = {
        f.name: lines_without_docstring(f) for f in functions if lines_without_docstring(f) > MAX_FUNCTION_LINES
    }
    assert too_long == {}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_says_what_it_is_for(module: Path) -> None:
    source = module.read_text()
    assert not source or ast.get_docstring(ast.parse(source))
