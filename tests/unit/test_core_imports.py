"""The core runs in any container: what it imports is written in Python's standard library, numpy, or the core."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import orpheus_core

pytestmark = pytest.mark.unit

CORE = Path(orpheus_core.__file__).parent


def imported(path: Path) -> Iterator[str]:
    """Top-level names of the packages that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import"
            yield str(node.module).split(".")[0]


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: path.stem)
def test_a_module_imports_nothing_but_numpy_and_the_standard_library(path: Path) -> None:
    assert set(imported(path)) <= {*sys.stdlib_module_names, "numpy", "orpheus_core"}
