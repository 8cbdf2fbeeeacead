"""The room plan as a test: which floor may import which, and each library's one door."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "credit_portfolio"

# From the ground up. A room imports rooms of lower floors only, and its own files freely.
FLOORS: list[set[str]] = [
    {"errors", "version"},
    {"figures"},
    {"ledger", "risk", "evaluation", "limits", "program", "export", "rounding", "conditions"},
    {"returns", "solvers"},
    {"multipliers", "conflicts", "distribution"},
    {"allocation", "prices", "universe"},
    {"reasons", "explain"},
    {"book", "sweeps"},
    {"formulation"},
    {"answer"},
    {"outcome"},
    {"portfolio"},
    {"frontiers", "backtesting", "by_class"},
    {"report", "simulate", "settings"},
    {"job"},
    {"cli"},
]
HEIGHT = {room: height for height, floor in enumerate(FLOORS) for room in floor}

# Third-party package -> the only files that may import it.
DOORS = {
    "clarabel": {"solvers/cvxpy_.py"},
    "cvxpy": {"solvers/cvxpy_.py"},
    "ibis": {
        "ledger/bringing.py",
        "ledger/currency.py",
        "ledger/engines.py",
        "ledger/examination.py",
        "ledger/judging.py",
        "ledger/keeping.py",
        "ledger/lines.py",
        "ledger/opening.py",
        "ledger/parsing.py",
        "ledger/repairs.py",
    },
    "duckdb": {"ledger/engines.py"},
    "psycopg": {"ledger/engines.py"},
    "pyspark": {"ledger/engines.py"},
    "plotly": {"report/plots.py"},
    "jinja2": {"report/html.py"},
    "openpyxl": {"export.py"},
    "sklearn": {"portfolio.py"},
    "skfuzzy": {"evaluation/fuzzy.py"},
    "dask": {"solvers/dask_.py"},
    "distributed": {"solvers/dask_.py"},
    "threadpoolctl": {"program/columns.py"},
    "typer": {"cli/__init__.py", "cli/app.py", "cli/book.py", "cli/ledger.py", "cli/sources.py"},
    "rich": {"cli/app.py", "cli/tables.py"},
}


def modules() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def room_of(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def type_checking_only(tree: ast.Module) -> set[ast.AST]:
    """Imports under ``if TYPE_CHECKING:`` name a type and load nothing."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            skipped.update(inner for child in node.body for inner in ast.walk(child))
    return skipped


def imported_names(path: Path, *, with_types: bool) -> set[str]:
    """Dotted names of all imports of a file, those inside functions included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = set() if with_types else type_checking_only(tree)
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise AssertionError(f"{path}: write imports in full, not relative")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    here = room_of(path)
    assert here in HEIGHT, f"{here} has no floor: add it to FLOORS and to docs/architecture.md"
    for name in imported_names(path, with_types=False):
        parts = name.split(".")
        if parts[0] != "credit_portfolio" or len(parts) < 2 or parts[1] == here:
            continue
        assert HEIGHT[parts[1]] < HEIGHT[here], f"{here} imports {name}, which is not below it"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_each_library_has_one_door(path: Path) -> None:
    relative = path.relative_to(ROOT).as_posix()
    for name in imported_names(path, with_types=True):
        allowed = DOORS.get(name.split(".")[0])
        assert allowed is None or relative in allowed, f"{relative} imports {name}"


def test_the_plan_names_only_rooms_that_exist() -> None:
    present = {room_of(path) for path in modules()}
    assert set(HEIGHT) == present
