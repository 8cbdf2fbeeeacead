"""Frontier, backtest, labels and infeasible runs: what the terminal and the files show."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

import credit_portfolio as cp
from tests.commands import run

OPTIONS = ("--outside", "clip", "--funding-rate", "0.08")
EDGES = [-1, 0, 0.15, 0.2, 0.235, 0.25]
WIDTH = 80


def words_of(page: str) -> str:
    return " ".join(page.split())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("book")
    book = cp.simulate_book(n_customers=60, n_invoices=4_000, seed=3)
    invoices, statements = book.write(folder)
    return Path(invoices), Path(statements)


@pytest.fixture(scope="module")
def ledger(files: tuple[Path, Path]) -> cp.Ledger:
    return cp.open_ledger(files[0])


@pytest.fixture(scope="module")
def panel(ledger: cp.Ledger) -> cp.ReturnPanel:
    return cp.ReturnPanel.from_ledger(ledger, cp.ReturnRule(0.25, 0.08), period="quarter")


@pytest.fixture(scope="module")
def limits(files: tuple[Path, Path], ledger: cp.Ledger) -> pd.DataFrame:
    return cp.working_asset_limits(cp.read_statements(files[1]), as_of=ledger.as_of)


def settings(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


# --- frontier -----------------------------------------------------------------------------------


def test_a_frontier_of_the_command_line_is_the_librarys(
    files: tuple[Path, Path],
    ledger: cp.Ledger,
    panel: cp.ReturnPanel,
    limits: pd.DataFrame,
    tmp_path: Path,
) -> None:
    done = run(
        "frontier", files[0], "--statements", files[1], *OPTIONS,
        "--over", "target:0", "--points", 5, "--out", tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "following the frontier" in done.stderr
    model = cp.CreditPortfolio(EDGES, 3, outside="clip")
    model.fit(panel, limits=limits, current=ledger.exposure())
    expected = cp.frontier(model, "target:0", points=5)
    written = pd.read_csv(tmp_path / "frontier.csv")
    points = written[written["portfolio"] == "frontier"]
    # Solves from other starts agree to the tolerance of 1e-9 of a share, and so do deviations.
    for name in ("value", "standard_deviation", "mean_return"):
        np.testing.assert_allclose(points[name], expected.points[name], rtol=1e-6, atol=1e-9)
    content = json.loads((tmp_path / "frontier.json").read_text(encoding="utf-8"))
    assert content["over"] == "target:0"
    assert len(content["points"]) == 5
    assert {row["portfolio"] for row in content["references"]} == set(expected.references.index)
    book = openpyxl.load_workbook(tmp_path / "frontier.xlsx")
    assert book.sheetnames == ["points", "references"]
    assert "Frontier over target:0 5 of 5 points reached" in words_of(done.stdout)
    assert f"{100 * expected.points['standard_deviation'].iloc[-1]:.4f} %" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= WIDTH
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert record["settings"]["frontier"] == {"over": "target:0", "points": 5}
    assert record["message"] == "5 of 5 points reached over target:0"


def test_a_frontier_leaves_a_report_with_its_picture(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    done = run("frontier", files[0], *OPTIONS, "--points", 3, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert '"frontier":' in page
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "frontier.csv", "frontier.json", "frontier.xlsx", "report.html", "run.json",
    ]  # fmt: skip


# --- backtest -----------------------------------------------------------------------------------


def test_a_backtest_of_the_command_line_is_the_librarys(
    files: tuple[Path, Path], ledger: cp.Ledger, tmp_path: Path
) -> None:
    done = run("backtest", files[0], *OPTIONS, "--every", "year", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    model = cp.CreditPortfolio(EDGES, 3, outside="clip")
    expected = cp.backtest(ledger, model, cp.ReturnRule(0.25, 0.08), every="year")
    written = pd.read_csv(tmp_path / "backtest.csv")
    assert written["portfolio"].tolist() == expected.days["portfolio"].tolist()
    np.testing.assert_allclose(written["return"], expected.days["return"], atol=1e-8)
    content = json.loads((tmp_path / "backtest.json").read_text(encoding="utf-8"))
    assert content["winners"] == expected.winners()
    assert expected.winners() in words_of(done.stdout)
    assert len(content["summary"]) == 4
    assert "walking forward: 2022-12-31" in done.stderr
    assert max(map(len, done.stdout.splitlines())) <= WIDTH
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert '"backtest":' in page


def test_a_backtest_takes_the_limits_that_each_day_knew(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    # All statements of the first customers are dated after the day; they had no limit then.
    sheets = pd.read_csv(files[1], dtype=str)
    late = sheets["customer_id"].isin(sheets["customer_id"].unique()[:5])
    sheets.loc[late, "statement_date"] = "2023-06-30"
    statements = tmp_path / "late.csv"
    sheets.to_csv(statements, index=False)
    toml = settings(tmp_path, "[backtest]\nevery = 'year'\n")
    words = ["backtest", files[0], "--statements", statements, "--settings", toml, *OPTIONS]
    held = {}
    for limits in ("then", "now"):
        done = run(*words, "--limits", limits, "--out", tmp_path / limits)
        assert done.returncode == 0, done.stderr
        table = pd.read_csv(tmp_path / limits / "backtest.csv")
        held[limits] = int(table.loc[table["portfolio"] == "equal", "n_with_credit"].iloc[-1])
        assert ("taken as known on all days" in words_of(done.stdout)) == (limits == "now")
    assert held["then"] < held["now"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[model]\nedges = 'quantiles'", "those of today's panel"),
    ],
)
def test_a_backtest_refuses_what_only_today_knows(
    files: tuple[Path, Path], tmp_path: Path, text: str, says: str
) -> None:
    done = run("backtest", files[0], "--settings", settings(tmp_path, text))
    assert done.returncode == 64
    assert says in done.stderr


def test_a_backtest_takes_labels_and_says_that_they_are_todays(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    labels = "[labels]\nseveral = 'latest'\n[model.groups.region]\nnorth = 0.5\n"
    text = f"[backtest]\nevery = 'year'\n{labels}"
    done = run("backtest", files[0], "--settings", settings(tmp_path, text), *OPTIONS)
    assert done.returncode == 0, done.stderr
    assert "the labels are one table, taken as known on all days" in words_of(done.stdout)


# --- labels -------------------------------------------------------------------------------------


def test_groups_and_classes_come_from_columns_of_the_ledger(
    files: tuple[Path, Path], ledger: cp.Ledger, panel: cp.ReturnPanel, tmp_path: Path
) -> None:
    text = (
        "[labels]\nseveral = 'latest'\n"
        "[model]\nsmoothing = 2\nclasses = 'grade'\n"
        "[model.groups.region]\nnorth = 0.2\nwest = [0.3, 0.5]\n"
    )
    toml = settings(tmp_path, text)
    done = run("allocate", files[0], "--settings", toml, *OPTIONS, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    frame = ledger.to_frame().sort_values("invoice_date", kind="stable")
    labels = frame.groupby("customer_id")[["region", "grade"]].last()
    model = cp.CreditPortfolio(
        EDGES, 3, outside="clip", smoothing=2, classes="grade",
        groups={"region": {"north": 0.2, "west": (0.3, 0.5)}},
    )  # fmt: skip
    model.fit(panel, current=ledger.exposure(), labels=labels)
    written = cp.Allocation.from_json(tmp_path / "allocation.json")
    np.testing.assert_allclose(written.shares, model.allocation_.shares, atol=1e-7)
    by_region = written.shares.groupby(labels["region"].reindex(written.shares.index)).sum()
    assert by_region["north"] <= 0.2 + 1e-9
    assert 0.3 - 1e-9 <= by_region["west"] <= 0.5 + 1e-9


def test_a_customer_with_several_labels_is_named_and_a_file_settles_him(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    dirty = pd.read_csv(files[0], dtype=str)
    mine = dirty.index[dirty["customer_id"] == "C000001"]
    dirty["region"] = dirty.groupby("customer_id")["region"].transform("last")
    dirty.loc[mine, "region"] = "north"
    dirty.loc[mine[-1], "region"] = "west"
    dirty.loc[mine[0], "region"] = ""  # a blank says nothing
    path = tmp_path / "moved.csv"
    dirty.to_csv(path, index=False)
    toml = settings(tmp_path, "[model.groups.region]\nnorth = 0.5\n")
    words = ["allocate", path, "--settings", toml, *OPTIONS]
    done = run(*words)
    assert done.returncode == 1
    assert (
        "1 customer has several labels in the column 'region' of the ledger, 'C000001' has "
        "'north', 'west'" in done.stderr
    )
    labels = tmp_path / "labels.csv"
    labels.write_text("customer_id;region\nC000001;north\n", encoding="utf-8")
    done = run(*words, "--labels", labels, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert [entry["name"] for entry in record["inputs"]] == ["moved.csv", "labels.csv"]


def test_two_labels_on_the_latest_day_are_an_error_too(tmp_path: Path) -> None:
    from credit_portfolio.job.labels import labels_of
    from credit_portfolio.settings import Settings

    frame = pd.DataFrame(
        {
            "customer_id": ["A", "A", "B", "B"],
            "invoice_id": ["1", "2", "3", "4"],
            "invoice_date": ["2024-01-01", "2024-01-01", "2024-01-01", "2024-01-02"],
            "due_date": ["2024-01-31"] * 4,
            "amount": ["5"] * 4,
            "grade": [1, 2, 1, 2],
        }
    )
    chosen = {"labels": {"several": "latest"}, "model": {"classes": "grade"}}
    with pytest.raises(cp.DataError, match=r"on his latest day .*'A' has '1', '2'") as caught:
        labels_of(cp.open_ledger(frame), Settings.from_mapping(chosen))
    assert set(caught.value.failures["customer_id"]) == {"A"}
    fine = cp.open_ledger(frame.iloc[1:])
    labels = labels_of(fine, Settings.from_mapping(chosen))
    assert labels is not None
    assert labels["grade"].to_dict() == {"A": "2", "B": "2"}


@pytest.mark.parametrize(
    ("labels", "text", "code", "says"),
    [
        ("customer_id,region\nA,x\n", "", 64, "no column of"),
        ("customer,region\nA,x\n", "[model.groups.region]\nx = 1", 1, "expected customer_id"),
        ("customer_id,region\nA,x\nA,y\n", "[model.groups.region]\nx = 1", 1, "more than once"),
        ("customer_id,region\nA,x\n", "[model]\nclasses = 'regoin'", 64, "no column of"),
        (None, "[model]\nclasses = 'regoin'", 64, "Did you mean 'region'"),
        (None, "[labels]\nfile = 'none.csv'\n[model]\nclasses = 'x'", 1, "cannot read the labels"),
        (None, "[model.groups.class]\nA = 0.5", 64, "there are no classes"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(
    files: tuple[Path, Path],
    tmp_path: Path,
    labels: str | None,
    text: str,
    code: int,
    says: str,
) -> None:
    words = ["allocate", files[0], "--settings", settings(tmp_path, text), *OPTIONS]
    if labels is not None:
        (tmp_path / "labels.csv").write_text(labels, encoding="utf-8")
        words += ["--labels", tmp_path / "labels.csv"]
    done = run(*words)
    assert done.returncode == code, done.stderr
    assert says in done.stderr


# --- infeasible runs ----------------------------------------------------------------------------


def test_an_infeasible_run_says_why_and_leaves_it_in_files(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    words = ["allocate", files[0], *OPTIONS, "--out", tmp_path]
    done = run(*words, "--targets", "3=0.6,4=0.6")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "infeasible: no allocation meets all conditions." in done.stderr
    assert max(map(len, done.stderr.splitlines())) <= WIDTH
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["infeasible.html", "infeasible.json", "run.json"]
    content = json.loads((tmp_path / "infeasible.json").read_text(encoding="utf-8"))
    for sentence in content["sentences"]:
        assert words_of(sentence) in words_of(done.stderr)
    rows = {row["condition"]: row for row in content["conditions"]}
    assert {"target [20 %, 23.5 %)", "target [23.5 %, 25 %]"} <= rows.keys()
    page = (tmp_path / "infeasible.html").read_text(encoding="utf-8")
    assert "target [20 %, 23.5 %)" in page
    assert re.search(r"<li>These cannot hold together", page)
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "InfeasibleError"
    # With the bounds that it names as nearest, the run has an answer and the files are gone.
    near = {"3": rows["target [20 %, 23.5 %)"], "4": rows["target [23.5 %, 25 %]"]}
    targets = ",".join(f"{j}={row['relaxed'] - 1e-6}" for j, row in near.items())
    done = run(*words, "--targets", targets)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "infeasible.json").exists()
    assert not (tmp_path / "infeasible.html").exists()


def test_weights_say_which_target_gives_way(files: tuple[Path, Path], tmp_path: Path) -> None:
    moved = {}
    for held, other in (("3", "4"), ("4", "3")):
        text = (
            "[model]\noutside = 'clip'\ntargets = { 3 = 0.15, 4 = 0.95 }\n"
            f"[model.weights]\n{held} = 'hold'\n{other} = 2\n"
        )
        out = tmp_path / held
        done = run("allocate", files[0], "--settings", settings(tmp_path, text), "--out", out)
        assert done.returncode == 2, done.stderr
        content = json.loads((out / "infeasible.json").read_text(encoding="utf-8"))
        rows = [row for row in content["conditions"] if row["weight"] is not None]
        assert [row["weight"] for row in rows] == [2.0]
        moved[held] = rows[0]["condition"]
        assert content["total_relaxation"] == pytest.approx(
            2 * (rows[0]["bound"] - rows[0]["relaxed"])
        )
    assert moved == {"3": "target [23.5 %, 25 %]", "4": "target [20 %, 23.5 %)"}


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ("9 = 1", "a weight is given for '9'"),
        ("1 = 1", "has no target; weigh"),
        ("'region = north' = 1", "a weight is given for 'region = north'"),
        ("3 = 1\n'[20 %, 23.5 %)' = 1", "twice"),
    ],
)
def test_weights_of_what_is_not_asked_are_refused(
    files: tuple[Path, Path], tmp_path: Path, weights: str, says: str
) -> None:
    text = f"[model]\noutside = 'clip'\ntargets = {{ 3 = 0.1 }}\n[model.weights]\n{weights}\n"
    done = run("allocate", files[0], "--settings", settings(tmp_path, text))
    assert done.returncode == 64, done.stderr
    assert says in done.stderr


def test_what_is_infeasible_before_any_program_is_told_too(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    done = run(
        "allocate", files[0], "--statements", files[1], "--budget", "1e12", "--out", tmp_path
    )
    assert done.returncode == 2
    content = json.loads((tmp_path / "infeasible.json").read_text(encoding="utf-8"))
    assert content["conflict"] == ["budget", "limits"]
    assert content["shortfall"] > 0
    assert content["sentences"][0] in done.stderr
    assert content["conditions"] == []


# --- options and the model ----------------------------------------------------------------------


def test_options_reach_the_model(
    files: tuple[Path, Path], ledger: cp.Ledger, panel: cp.ReturnPanel, tmp_path: Path
) -> None:
    done = run(
        "allocate", files[0], *OPTIONS, "--smoothing", 2, "--classes", 2, "--confidence", 0.8,
        "--min-return", 0.2, "--max-turnover", 0.5, "--targets", "0=0.2", "--out", tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    model = cp.CreditPortfolio(
        EDGES, 3, outside="clip", smoothing=2, classes=2, confidence=0.8, min_return=0.2,
        max_turnover=0.5, targets={0: 0.2},
    )  # fmt: skip
    model.fit(panel, current=ledger.exposure())
    written = cp.Allocation.from_json(tmp_path / "allocation.json")
    np.testing.assert_allclose(written.shares, model.allocation_.shares, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["allocate", "{invoices}", "--operator", "avrage"], 64, "operator"),
        (["allocate", "{invoices}", "--smoothing", "estimate"], 64, "'estimated'"),
        (["allocate", "{invoices}", "--confidence", "0.9"], 64, "needs smoothing"),
        (["frontier"], 64, "Missing argument"),
        (["frontier", "{invoices}", "--over", "budgt"], 64, "Did you mean 'budget'"),
        (["frontier", "{invoices}", "--over", "target:9"], 64, "expected 0 to 4"),
        (["frontier", "{invoices}", "--points", "1"], 64, "--points"),
        (["frontier", "{invoices}", "--targets", "3=0.6,4=0.6"], 2, "cannot hold together"),
        (["frontier", "{folder}/none.csv"], 1, "none.csv"),
        (["backtest", "{invoices}", "--every", "week"], 64, "'month' or 'quarter' or 'year'"),
        (["backtest", "{invoices}", "--horizon", "99"], 64, "take shorter periods"),
        (["backtest", "{invoices}", "--limits", "soon"], 64, "'then' or 'now'"),
        (["backtest", "{folder}/none.csv"], 1, "none.csv"),
        (["quality", "{invoices}", "--no-examine", "--names", "region"], 64, "--no-examine"),
        (["quality", "{invoices}", "--names", "nmae"], 64, "nmae"),
    ],
)
def test_each_failure_has_its_exit_code(
    files: tuple[Path, Path], tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    words = [word.format(invoices=files[0], folder=tmp_path) for word in arguments]
    done = run(*words, *(() if words[0] == "quality" else OPTIONS))
    assert done.returncode == code, done.stdout + done.stderr
    assert says in words_of((done.stdout + done.stderr).replace("│", " "))
    assert "Traceback" not in done.stderr


# --- quality ------------------------------------------------------------------------------------


def test_quality_shows_what_only_rows_together_show(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    dirty = pd.read_csv(files[0], dtype=str)
    again = dirty.iloc[[5]].assign(invoice_id="9999-A")
    alike = dirty.iloc[[6]].assign(invoice_id="9998", customer_id=dirty["customer_id"][6].lower())
    path = tmp_path / "dirty.csv"
    pd.concat([dirty, again, alike]).to_csv(path, index=False)
    done = run("quality", path, "--out", tmp_path / "q")
    assert done.returncode == 0, done.stderr
    assert "comparing the rows" in done.stderr
    written = pd.read_csv(tmp_path / "q" / "findings.csv").set_index("finding")
    found = cp.examine(cp.open_ledger(path)).quality.findings.set_index("finding")
    assert written["rows"].to_dict() == found["rows"].to_dict()
    assert {"maybe_rekeyed", "similar_customer_ids"} <= set(written.index)
    assert "maybe_rekeyed 1" in words_of(done.stdout)
    alone = run("quality", path, "--no-examine")
    assert alone.returncode == 0, alone.stderr
    assert "maybe_rekeyed" not in alone.stdout
    assert "comparing the rows" not in alone.stderr


# --- repairs ------------------------------------------------------------------------------------


def test_repairs_of_a_settings_file_are_those_of_the_library(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    raw = pd.read_csv(files[0], dtype=str)
    raw.loc[:99, "due_date"] = ""
    raw["currency"] = ["USD" if row % 2 else "EUR" for row in range(len(raw))]
    path = tmp_path / "raw.csv"
    raw.to_csv(path, index=False)
    days = pd.date_range("2020-12-28", "2023-12-31", freq="5D").strftime("%Y-%m-%d")
    rates = pd.DataFrame({"currency": "USD", "date": days, "rate": "0.9"})
    rates.to_csv(tmp_path / "rates.csv", index=False)
    text = (
        "[ledger]\ncurrency = 'EUR'\n"
        "[ledger.repairs]\nterms = { days = 30, end_of_month = 'after' }\nrates = 'rates.csv'\n"
        "same_customer = { C000002 = 'C000001' }\nvat_rate = 0.19\nhold_out_disputed = true\n"
    )
    done = run(
        "quality", path, "--settings", settings(tmp_path, text), "--out", tmp_path / "q.json"
    )
    assert done.returncode == 0, done.stderr
    repairs = cp.Repairs(
        terms=cp.Terms(30, "after"),
        rates=rates,
        same_customer={"C000002": "C000001"},
        vat_rate="0.19",
        hold_out_disputed=True,
    )
    found = cp.examine(cp.open_ledger(path, currency="EUR", repairs=repairs)).quality
    content = json.loads((tmp_path / "q.json").read_text(encoding="utf-8"))
    written = {row["finding"]: (row["rows"], row["amount"]) for row in content["findings"]}
    expected = {row.finding: (row.rows, str(row.amount)) for row in found.findings.itertuples()}
    assert written == expected
    assert content["rows_rejected"] == found.rows_rejected > 0
    assert {"due_date_from_terms", "merged_customers"} <= written.keys()


# --- where a message names an argument of the library -------------------------------------------


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("limits", "--decimal"),
        ("allocate", "--statements-decimal"),
        ("frontier", "decimal of [statements] in the file of --settings"),
    ],
)
def test_a_decimal_mark_of_statements_that_is_not_clear_names_the_option_that_tells_it(
    command: str, expected: str, files: tuple[Path, Path], tmp_path: Path
) -> None:
    sheets = pd.read_csv(files[1], dtype={"customer_id": str})
    money = sheets.select_dtypes("number").columns
    sheets[money] = "1.200"  # twelve hundred, or a little over one
    unclear = tmp_path / "unclear.csv"
    sheets.to_csv(unclear, index=False)
    ledger = ["--outside", "clip"] if command == "allocate" else []
    given = [unclear] if command == "limits" else [files[0], "--statements", unclear, *ledger]
    done = run(command, *given, "--out", tmp_path / "out")
    assert done.returncode == 1, done.stderr
    assert done.stderr.endswith(f"\non the command line: {expected}\n"), done.stderr


# --- help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["allocate", "frontier", "backtest", "quality"])
def test_the_help_of_a_command_loads_no_part_of_the_work(command: str) -> None:
    script = (
        "import sys\n"
        "from credit_portfolio.cli import main\n"
        f"sys.argv = ['credit-portfolio', {command!r}, '--help']\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "slow = {'numpy', 'pandas', 'ibis', 'sklearn', 'scipy', 'credit_portfolio.job'}\n"
        "print('loaded', sorted(slow & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded []"
