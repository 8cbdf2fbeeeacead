"""The examples run as they stand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # raised inside Jupyter's own client
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.name)
def test_notebook_runs_from_top_to_bottom(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert all(outputs)
    warned = [o for cell in outputs for o in cell if o.get("name") == "stderr"]
    assert not warned, warned


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.name)
def test_notebook_is_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)


@pytest.fixture(scope="module")
def example() -> ModuleType:
    path = EXAMPLES / "ibm_with_us_statements.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_ibm_ledger_is_allocated_with_less_risk_and_no_worse_degrees(
    example: ModuleType, ibm_ledger_csv: Path, us_statements_csv: Path
) -> None:
    ledger, allocation = example.run(ibm_ledger_csv, us_statements_csv)
    assert (ledger.n_invoices, ledger.n_open) == (2258, 88)
    assert allocation.certificate.holds
    summary, evaluation = allocation.summary, allocation.evaluation
    assert summary["standard_deviation"] < summary["current_standard_deviation"]
    worse = np.where(
        evaluation["kind"] == "bad",
        evaluation["proposed"] - evaluation["current"],
        evaluation["current"] - evaluation["proposed"],
    )
    # The certificate allows a relative 1e-9 on each row.
    assert worse.max() <= 1e-9
    assert allocation.amounts.sum() == pytest.approx(float(ledger.exposure().sum()), abs=0.005)
    assert (allocation.amounts <= allocation.customers["limit"]).all()


def test_the_pairing_follows_its_rule(
    example: ModuleType, ibm_ledger_csv: Path, us_statements_csv: Path
) -> None:
    import pandas as pd

    import credit_portfolio as cp

    ledger = cp.open_ledger(ibm_ledger_csv, profile="ibm", as_of=example.AS_OF)
    firms = pd.read_csv(us_statements_csv, dtype={"firm_id": str})
    paired = example.pair(ledger, firms)
    limits = cp.working_asset_limits(paired)["limit"]
    wanted = example.LIMITS_TO_EXPOSURE * ledger.exposure().sum()
    assert wanted - 0.01 * len(limits) < limits.sum() <= wanted  # each is rounded down to a cent
    assert paired["customer_id"].nunique() == ledger.n_customers == 100
