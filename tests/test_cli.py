"""The command line: what it writes, and that each failure has its own exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import credit_portfolio as cp

COMMAND = Path(sys.executable).with_name("credit-portfolio")
RESULTS = {
    "allocation.csv",
    "allocation.json",
    "allocation.xlsx",
    "report.html",
    "run.json",
}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(COMMAND), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("book")
    book = cp.simulate_book(n_customers=60, n_invoices=4_000, seed=3)
    invoices, statements = book.write(folder)
    return Path(invoices), Path(statements)


@pytest.fixture(scope="module")
def results(files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    invoices, statements = files
    out = tmp_path_factory.mktemp("results") / "deep" / "er"
    done = run(
        "allocate", invoices, "--statements", statements, "--out", out,
        "--funding-rate", 0.08, "--outside", "clip", "--as-of", "2023-12-31",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "certificate" in done.stdout
    return out


def test_allocate_writes_its_results(results: Path) -> None:
    assert {path.name for path in results.iterdir()} == RESULTS


def test_the_tables_agree_with_each_other(results: Path) -> None:
    allocation = cp.Allocation.from_json(results / "allocation.json")
    table = pd.read_csv(results / "allocation.csv", dtype={"customer_id": str})
    workbook = pd.read_excel(results / "allocation.xlsx", sheet_name="customers", dtype={0: str})
    assert table["customer_id"].tolist() == allocation.customers.index.tolist()
    np.testing.assert_array_equal(table["amount"], allocation.amounts)
    np.testing.assert_array_equal(workbook["amount"], allocation.amounts)


def test_the_run_record_can_repeat_the_run(results: Path, files: tuple[Path, Path]) -> None:
    import hashlib

    record = json.loads((results / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "optimal"
    assert record["certificate"]["holds"]
    assert record["settings"]["returns"]["funding_rate"] == 0.08
    assert record["model"]["intervals"] == [-1.0, 0.0, 0.15, 0.2, 0.235, 0.25]
    assert record["versions"]["credit_portfolio"] == cp.__version__
    assert {"python", "numpy", "clarabel", "duckdb"} <= record["versions"].keys()
    for path, entry in zip(files, record["inputs"], strict=True):
        assert entry["name"] == path.name
        assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_library_gives_the_same_shares(results: Path, files: tuple[Path, Path]) -> None:
    ledger = cp.open_ledger(files[0], as_of="2023-12-31")
    panel = cp.ReturnPanel.from_ledger(ledger, cp.ReturnRule(0.25, 0.08), period="quarter")
    limits = cp.working_asset_limits(cp.read_statements(files[1]), as_of="2023-12-31")
    model = cp.CreditPortfolio([-1, 0, 0.15, 0.2, 0.235, 0.25], 3, outside="clip")
    model.fit(panel, limits=limits, current=ledger.exposure())
    written = cp.Allocation.from_json(results / "allocation.json")
    # The same code on the same input: equal up to the order of sums in the engine's threads.
    np.testing.assert_allclose(written.shares, model.allocation_.shares, atol=1e-9)


def test_options_win_over_the_settings_file(files: tuple[Path, Path], tmp_path: Path) -> None:
    toml = tmp_path / "run.toml"
    toml.write_text('[model]\noutside = "clip"\nmax_share = 0.2\nbudget = 100000\n')
    done = run("allocate", files[0], "--settings", toml, "--budget", 50_000, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert record["settings"]["model"]["budget"] == 50_000
    assert record["settings"]["model"]["max_share"] == 0.2
    assert record["summary"]["amount"] == pytest.approx(50_000, abs=0.005)


def test_explicit_targets_and_edges(files: tuple[Path, Path]) -> None:
    done = run(
        "allocate", files[0], "--intervals", "-3,0,0.2,0.25", "--good-from", 2,
        "--targets", "0=0.05",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "[-300 %, 0 %)" in done.stdout


def test_quality_lists_what_was_rejected(files: tuple[Path, Path], tmp_path: Path) -> None:
    dirty = pd.read_csv(files[0], dtype=str)
    dirty.loc[0, "amount"] = "=cmd()"
    path = tmp_path / "dirty.csv"
    dirty.to_csv(path, index=False)
    done = run("quality", path, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "amount_not_a_number" in done.stdout
    rejected = pd.read_csv(tmp_path / "rejected.csv", dtype=str)
    assert len(rejected) == 1
    assert "'=cmd()" in rejected.iloc[0].tolist()


def test_limits_are_written(files: tuple[Path, Path], tmp_path: Path) -> None:
    done = run("limits", files[1], "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    written = pd.read_csv(tmp_path / "limits.csv", dtype={"customer_id": str})
    expected = cp.working_asset_limits(cp.read_statements(files[1]))
    np.testing.assert_allclose(written["limit"], expected["limit"])
    assert (tmp_path / "limits.xlsx").exists()


def test_demo_says_that_its_data_are_simulated(tmp_path: Path) -> None:
    done = run("demo", "--out", tmp_path, "--customers", 40, "--invoices", 2_000)
    assert done.returncode == 0, done.stderr
    assert "simulated" in done.stdout
    assert "simulated" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir()} == RESULTS | {
        "invoices.csv",
        "statements.csv",
    }


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 64, "Usage"),
        (["alocate"], 64, "No such command"),
        (["allocate"], 64, "Missing argument"),
        (["allocate", "{invoices}", "--bugdet", "5"], 64, "No such option"),
        (["allocate", "{invoices}", "--budget", "much"], 64, "--budget"),
        (["allocate", "{invoices}", "--period", "week"], 64, "'month' or 'quarter' or 'year'"),
        (["allocate", "{invoices}", "--profile", "imb"], 64, "Did you mean 'ibm'"),
        (["allocate", "{invoices}", "--solver", "clarabell"], 64, "Did you mean 'clarabel'"),
        (["allocate", "{invoices}", "--intervals", "a,b"], 64, "--intervals"),
        (["allocate", "{invoices}", "--intervals", "0.2,0.1", "--good-from", "0"], 64, "increase"),
        (["allocate", "{folder}/none.csv"], 1, "none.csv"),
        (["allocate", "{invoices}", "--as-of", "1999-01-01"], 1, "1999-01-01"),
        (["allocate", "{invoices}", "--out", "/dev/null/x"], 1, "cannot write"),
        (
            ["allocate", "{invoices}", "--statements", "{statements}", "--budget", "1e12"],
            2,
            "too much",
        ),
        (["allocate", "{invoices}", "--targets", "3=0.6,4=0.6"], 2, "cannot be met together"),
        (["allocate", "{invoices}", "--solver", "mosek"], 3, "pip install"),
        (["allocate", "{invoices}", "--solver", "scs", "--tolerance", "1e-300"], 3, "certified"),
    ],
)
def test_each_failure_has_its_exit_code(
    files: tuple[Path, Path], tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    places = {"invoices": files[0], "statements": files[1], "folder": tmp_path}
    words = [word.format(**places) for word in arguments]
    if "allocate" in words and "--intervals" not in words and code in (2, 3):
        words += ["--outside", "clip"]
    done = run(*words)
    assert done.returncode == code, done.stdout + done.stderr
    assert says in " ".join((done.stdout + done.stderr).replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_a_failed_run_leaves_its_record(files: tuple[Path, Path], tmp_path: Path) -> None:
    done = run("allocate", files[0], "--as-of", "1999-01-01", "--out", tmp_path)
    assert done.returncode == 1
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "DataError"
    assert "1999-01-01" in record["message"]
    assert {path.name for path in tmp_path.iterdir()} == {"run.json"}


def test_version() -> None:
    assert run("--version").stdout.strip() == cp.__version__
