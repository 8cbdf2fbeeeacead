"""The front door: what it names, and how little it loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import credit_portfolio as cp
from credit_portfolio import errors

STUB = Path(cp.__file__).with_name("__init__.pyi")


def names_of_the_stub():
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return [alias.asname or alias.name for node in imports for alias in node.names]


def test_all_is_sorted_and_equals_the_stub():
    assert list(cp.__all__) == sorted(cp.__all__)
    assert sorted(names_of_the_stub()) == list(cp.__all__)
    assert len(set(cp.__all__)) == len(cp.__all__)


@pytest.mark.parametrize("name", names_of_the_stub())
def test_every_name_loads(name):
    assert getattr(cp, name) is not None
    assert name in dir(cp)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="allocate_all"):
        _ = cp.allocate_all


def test_the_names_of_the_contract_are_there():
    contract = {
        "Allocation",
        "CreditPortfolio",
        "CreditProgram",
        "ReturnPanel",
        "ReturnRule",
        "open_ledger",
        "solve",
        "working_asset_limits",
        "write_report",
    }
    assert contract <= set(cp.__all__)


def test_every_error_of_the_package_is_exported_and_of_one_tree():
    own = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }
    assert set(own) <= set(cp.__all__)
    for name, kind in own.items():
        assert issubclass(kind, cp.CreditPortfolioError)
        assert getattr(cp, name) is kind
    exported = [getattr(cp, name) for name in cp.__all__]
    raised = {k for k in exported if isinstance(k, type) and issubclass(k, BaseException)}
    assert raised == set(own.values())
    assert issubclass(cp.MissingDependencyError, ImportError)


HEAVY = {
    "clarabel",
    "cvxpy",
    "duckdb",
    "ibis",
    "jinja2",
    "numpy",
    "openpyxl",
    "pandas",
    "plotly",
    "pyarrow",
    "scipy",
    "sklearn",
}


def loaded_by(code):
    """Top-level names of the modules that a fresh interpreter has after running the code."""
    program = f"{code}\nimport sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


def test_the_front_door_loads_nothing_heavy():
    assert not loaded_by("import credit_portfolio as cp; cp.__version__; cp.DataError") & HEAVY


def test_names_load_what_they_need_and_no_more():
    for_rules = loaded_by("import credit_portfolio as cp; cp.ReturnRule(0.25); cp.CreditProgram")
    assert not for_rules & {"cvxpy", "ibis", "plotly", "sklearn", "openpyxl", "jinja2"}
    for_a_fit = loaded_by("import credit_portfolio as cp; cp.CreditPortfolio([-1, 0, 1], 1)")
    assert not for_a_fit & {"ibis", "plotly", "openpyxl", "jinja2"}
