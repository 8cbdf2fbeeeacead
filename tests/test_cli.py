"""The command line: what it writes, and that each failure has its own exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import credit_portfolio as cp
from credit_portfolio.job import is_interrupt
from credit_portfolio.settings import Settings

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
    assert done.stdout.startswith("Allocation of credit as of 2023-12-31\n")
    assert "invoices.csv: 4,000 rows read, 0 rejected" in done.stdout
    return out


def test_allocate_writes_its_results(results: Path) -> None:
    assert {path.name for path in results.iterdir()} == RESULTS


def test_the_tables_agree_with_each_other(results: Path) -> None:
    allocation = cp.Allocation.from_json(results / "allocation.json")
    table = pd.read_csv(results / "allocation.csv", dtype={"customer_id": str})
    workbook = pd.read_excel(results / "allocation.xlsx", sheet_name="customers", dtype={0: str})
    assert table["customer_id"].tolist() == allocation.customers.index.tolist()
    np.testing.assert_array_equal(table["amount"], allocation.amounts.round(2))
    np.testing.assert_array_equal(workbook["amount"], allocation.amounts)


def test_the_run_record_can_repeat_the_run(results: Path, files: tuple[Path, Path]) -> None:
    import hashlib

    record = json.loads((results / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "optimal"
    assert record["certificate"]["holds"]
    assert record["as_of"] == record["summary"]["as_of"] == "2023-12-31"
    assert record["summary"]["source"] == "invoices.csv"
    assert (record["summary"]["rows_read"], record["summary"]["rows_rejected"]) == (4000, 0)
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


def test_the_report_says_the_day_and_the_source(results: Path) -> None:
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "As of 2023-12-31 · invoices.csv: 4,000 rows read, 0 rejected" in page


def test_the_first_finding_counts_the_rejected_rows(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    dirty = pd.read_csv(files[0], dtype=str)
    dirty.loc[:1, "customer_id"] = ""
    dirty.loc[:2, "amount"] = ["100.50", "40.50", "?"]
    ledger = tmp_path / "dirty.csv"
    dirty.to_csv(ledger, index=False)
    sheets = pd.read_csv(files[1], dtype=str)
    sheets.loc[0, "current_assets"] = "much"
    statements = tmp_path / "sheets.csv"
    sheets.to_csv(statements, index=False)
    out = tmp_path / "out"
    command = ["allocate", ledger, "--statements", statements, "--outside", "clip"]
    done = run(*command, "--out", out)
    assert done.returncode == 0, done.stderr
    findings = cp.Allocation.from_json(out / "allocation.json").findings
    assert findings[:2] == (
        "3 of 4,000 rows of the ledger (141.00 EUR, and 1 without a readable amount) were "
        "rejected; rejected.csv has them with reasons",
        f"1 of {len(sheets)} rows of the statements was rejected; rejected_statements.csv has them "
        "with reasons",
    )
    assert f"Findings\n  - {findings[0]}" in done.stdout
    assert findings[0] in (out / "report.html").read_text(encoding="utf-8")
    assert len(pd.read_csv(out / "rejected.csv")) == 3
    assert len(pd.read_csv(out / "rejected_statements.csv")) == 1
    done = run(*command)
    assert "were rejected; give a folder with --out to get them with reasons" in done.stdout


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


def test_statements_may_be_written_in_another_way(files: tuple[Path, Path], tmp_path: Path) -> None:
    sheets = pd.read_csv(files[1], dtype={"customer_id": str})
    sheets["statement_date"] = pd.to_datetime(sheets["statement_date"]).dt.strftime("%d/%m/%Y")
    german = tmp_path / "german.csv"
    sheets.to_csv(german, index=False, sep=";", decimal=",")
    options = ["--separator", ";", "--decimal", ",", "--date-format", "%d/%m/%Y"]
    done = run("limits", german, *options, "--out", tmp_path / "a")
    assert done.returncode == 0, done.stderr
    written = pd.read_csv(tmp_path / "a" / "limits.csv")
    expected = cp.working_asset_limits(cp.read_statements(files[1]))
    np.testing.assert_allclose(written["limit"], expected["limit"])
    toml = tmp_path / "run.toml"
    toml.write_text('[statements]\nseparator = ";"\ndate_format = "%d/%m/%Y"\n', encoding="utf-8")
    done = run(
        "allocate", files[0], "--statements", german, "--settings", toml,
        "--statements-decimal", ",", "--outside", "clip", "--out", tmp_path / "b",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "b" / "run.json").read_text(encoding="utf-8"))
    assert record["settings"]["statements"] == {
        "columns": None, "separator": ";", "decimal": ",", "date_format": "%d/%m/%Y",
    }  # fmt: skip


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
        (["allocate", "{invoices}", "--targets", "3=0.6,4=0.6"], 2, "cannot hold together"),
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


@pytest.mark.parametrize("command", ["quality", "limits"])
def test_a_failed_command_leaves_no_empty_folder(command: str, tmp_path: Path) -> None:
    done = run(command, tmp_path / "nofile.csv", "--out", tmp_path / "nofile" / "deep")
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    assert run(command, tmp_path / "nofile.csv", "--out", tmp_path / "mine").returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def _heed_interrupts() -> None:
    """What a shell starts in the background ignores them, and so would the command."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("stage", ["simulating", "reading", "building", "writing"])
def test_an_interrupt_is_said_and_leaves_no_half_file(stage: str, tmp_path: Path) -> None:
    size = ["--customers", "1000", "--invoices", "100000"]
    command = [str(COMMAND), "demo", "--out", str(tmp_path), *size]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, preexec_fn=_heed_interrupts
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:  # each stage begins with a line, and takes far longer than it
            if stage in line:
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "interrupted; no half-written file is left"
    assert out == ""
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    if stage == "building":
        record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
        assert record["status"] == "interrupted"


def test_an_interrupt_inside_a_query_is_one_too() -> None:
    assert is_interrupt(KeyboardInterrupt())
    assert is_interrupt(RuntimeError("Query interrupted"))
    assert not is_interrupt(RuntimeError("a bug"))
    assert not is_interrupt(ValueError("Query interrupted"))


def blocks(page: str, kind: str) -> list[str]:
    text = (Path(__file__).parents[1] / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def test_the_settings_in_the_docs_run_on_the_demos_files(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    whole, *fragments = blocks("command_line.md", "toml")
    toml = tmp_path / "run.toml"
    toml.write_text(whole, encoding="utf-8")
    done = run("allocate", files[0], "--statements", files[1], "--settings", toml)
    assert done.returncode == 0, done.stderr
    assert fragments
    for fragment in fragments:
        Settings.from_mapping(tomllib.loads(fragment))


def test_a_failed_run_leaves_its_record(files: tuple[Path, Path], tmp_path: Path) -> None:
    done = run("allocate", files[0], "--as-of", "1999-01-01", "--out", tmp_path)
    assert done.returncode == 1
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "DataError"
    assert "1999-01-01" in record["message"]
    assert {path.name for path in tmp_path.iterdir()} == {"run.json"}


def test_version() -> None:
    assert run("--version").stdout.strip() == cp.__version__
