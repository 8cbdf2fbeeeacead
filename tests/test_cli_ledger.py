"""quality, ageing and indicators: what the terminal and the files show is what the library says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import openpyxl
import pandas as pd
import pytest

import credit_portfolio as cp
from credit_portfolio.cli import tables
from credit_portfolio.ledger import indicators as kpi

COMMAND = Path(sys.executable).with_name("credit-portfolio")
WIDTH = 80


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(COMMAND), *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, env=environment
    )


@pytest.fixture(scope="module")
def invoices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("book")
    book = cp.simulate_book(n_customers=60, n_invoices=4_000, seed=3)
    return Path(book.write(folder)[0])


@pytest.fixture(scope="module")
def ledger(invoices: Path) -> cp.Ledger:
    return cp.open_ledger(invoices)


def columns_of(page: str) -> int:
    return max(len(line.rstrip()) for line in page.splitlines())


def numbers_in(page: str, row: str) -> list[float]:
    """Return the figures of the line that begins with these words, a dash as 0."""
    line = next(line for line in page.splitlines() if line.strip().startswith(row))
    words = line.strip().removeprefix(row).replace("others", "").split()
    return [0.0 if word == "–" else float(word.replace(",", "")) for word in words]


def test_ageing_shows_the_largest_and_adds_up(invoices: Path, ledger: cp.Ledger) -> None:
    done = run("ageing", invoices, "--rows", 5)
    assert done.returncode == 0, done.stderr
    assert "reading the ledger" in done.stderr
    assert columns_of(done.stdout) < WIDTH
    expected = ledger.ageing()
    largest = expected.sort_values("total", ascending=False).head(5)
    shown = [numbers_in(done.stdout, name) for name in largest.index]
    np.testing.assert_allclose(shown, largest.to_numpy(), atol=0.5)
    total = numbers_in(done.stdout, "total")
    np.testing.assert_allclose(total, expected.sum(), atol=0.5)
    owing = int((expected["total"] > 0).sum())
    others = numbers_in(done.stdout, f"{owing - 5}")
    np.testing.assert_allclose(np.sum(shown, axis=0) + others, total, atol=3)
    verb = "owes" if owing == 59 else "owe"
    assert f"{60 - owing} more {verb} nothing" in done.stdout


def test_the_page_of_the_docs_is_what_the_demo_shows(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "docs" / "command_line.md").read_text(encoding="utf-8")
    shown = text.split("$ credit-portfolio ageing demo/invoices.csv --rows 3\n")[1].split("```")[0]
    book = cp.simulate_book(200, 20_000, seed=2024)  # what the command demo simulates
    done = run("ageing", book.write(tmp_path)[0], "--rows", 3)
    assert [line.rstrip() for line in done.stdout.splitlines()] == shown.splitlines()


def test_ageing_files_hold_every_row(invoices: Path, ledger: cp.Ledger, tmp_path: Path) -> None:
    options = ["--by", "region", "--basis", "invoice", "--edges", "45,90", "--rows", 1]
    expected = ledger.ageing("region", "invoice", (45, 90))
    for name in ("a.csv", "a.xlsx", "a.json"):
        done = run("ageing", invoices, *options, "--out", tmp_path / "new" / name)
        assert done.returncode == 0, done.stderr
        assert f"written to {tmp_path / 'new' / name}" in done.stderr
    folder = tmp_path / "new"
    content = json.loads((folder / "a.json").read_text(encoding="utf-8"))
    assert (content["as_of"], content["currency"]) == (str(ledger.as_of), "EUR")
    read = [
        pd.read_csv(folder / "a.csv", index_col="region"),
        pd.read_excel(folder / "a.xlsx", sheet_name="ageing", index_col="region"),
        pd.DataFrame(content["ageing"]).set_index("region"),
    ]
    for table in read:
        pd.testing.assert_frame_equal(table, expected, check_index_type=False, atol=0.005)
    assert sorted(path.name for path in folder.iterdir()) == ["a.csv", "a.json", "a.xlsx"]


def test_indicators_show_every_one_with_its_meaning(invoices: Path, ledger: cp.Ledger) -> None:
    done = run("indicators", invoices)
    assert done.returncode == 0, done.stderr
    assert columns_of(done.stdout) < WIDTH
    values = kpi.indicators(ledger).iloc[0]
    for indicator in kpi.INDICATORS:
        if indicator.name in ("days", "share"):  # the one is in the title, the other is 100 %
            continue
        figure = tables.figure(values[indicator.name], indicator.unit)
        start = f"  {indicator.label}  "
        line = next(row for row in done.stdout.splitlines() if row.startswith(start))
        assert figure in line
        assert indicator.formula in line
    rates = kpi.roll_rates(ledger).iloc[0]
    assert tables.figure(rates["1-30"], "share") in done.stdout
    assert "window of 90 days" in done.stdout


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        (["--by", "region"], {"by": "region"}),
        (["--over", 3, "--days", 30], {"over": 3, "days": 30}),
        (["--by", "grade", "--over", 2], {"by": "grade", "over": 2}),
    ],
)
def test_indicators_by_group_and_over_time(
    invoices: Path, ledger: cp.Ledger, tmp_path: Path, options: list[object], arguments: dict
) -> None:
    expected = kpi.indicators(ledger, **arguments)
    done = run("indicators", invoices, *options, "--out", tmp_path / "i.csv")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("computing the indicators") == 1
    assert columns_of(done.stdout) < WIDTH
    assert "…" not in done.stdout
    written = pd.read_csv(tmp_path / "i.csv").set_index(list(expected.index.names))
    money = [i.name for i in kpi.INDICATORS if i.unit == "money"]
    np.testing.assert_allclose(written[money], expected[money], atol=0.005)
    rest = written.columns.difference(money)
    np.testing.assert_allclose(written[rest], expected[rest], rtol=1e-12)
    days = [f"{expected['days_sales_outstanding'].iloc[row]:.1f}" for row in (0, -1)]
    assert all(text in done.stdout for text in days)


def test_indicators_in_a_workbook_have_all_tables(invoices: Path, tmp_path: Path) -> None:
    done = run("indicators", invoices, "--by", "customer_id", "--out", tmp_path / "i.xlsx")
    assert done.returncode == 0, done.stderr
    sheets = pd.read_excel(tmp_path / "i.xlsx", sheet_name=None)
    assert list(sheets) == ["indicators", "transitions", "concentration"]
    book = openpyxl.load_workbook(tmp_path / "i.xlsx")
    forms = {sheet.title: {c.value: sheet.cell(2, c.column) for c in sheet[1]} for sheet in book}
    assert forms["indicators"]["not_due"].number_format == "#,##0.00"
    assert forms["transitions"]["not_due"].number_format == "0.00%"
    assert forms["transitions"]["opening"].number_format == "#,##0.00"
    assert forms["concentration"]["hhi"].number_format == "General"
    assert len(sheets["indicators"]) == 60
    assert "40 more with less open" in done.stdout


def test_what_is_not_defined_is_null_and_a_dash(tmp_path: Path) -> None:
    path = tmp_path / "quiet.csv"
    path.write_text(
        "customer_id,invoice_id,invoice_date,due_date,amount\n"
        "A,1,2023-01-02,2023-02-01,10.00\nB,2,2024-01-02,2024-02-01,20.00\n"
    )
    options = ["--by", "customer_id", "--out", tmp_path / "i.json"]
    done = run("indicators", path, *options)
    assert done.returncode == 0, done.stderr
    assert "– not defined: nothing sold, open or paid to divide by" in done.stdout
    first, second = json.loads((tmp_path / "i.json").read_text())["indicators"]
    assert first["days_sales_outstanding"] is None
    assert second["days_sales_outstanding"] == 90
    assert "Infinity" not in (tmp_path / "i.json").read_text()


def test_quality_says_what_to_do(invoices: Path, tmp_path: Path) -> None:
    dirty = pd.read_csv(invoices, dtype=str)
    dirty.loc[:6, "amount"] = "=cmd()"
    dirty.loc[7, "customer_id"] = ""
    path = tmp_path / "dirty.csv"
    dirty.to_csv(path, index=False)
    done = run("quality", path)
    assert done.returncode == 0, done.stderr
    assert columns_of(done.stdout) <= WIDTH
    page = " ".join(done.stdout.split())
    for words in ("rejected 8", "amount_not_a_number 7", "Write plain figures;", "… and 3 more"):
        assert words in page
    assert "row 1: amount '=cmd()' is not a number" in page
    for name in ("q.xlsx", "q.json"):
        assert run("quality", path, "--out", tmp_path / name).returncode == 0
    content = json.loads((tmp_path / "q.json").read_text(encoding="utf-8"))
    assert (content["rows_read"], content["rows_rejected"]) == (4_000, 8)
    assert content["source_rows"] == 4_000
    assert len(content["rejected"]) == 8
    assert len(pd.read_excel(tmp_path / "q.xlsx", sheet_name="rejected")) == 8
    done = run("ageing", path)
    assert "8 of 4,000 rows" in done.stdout
    assert "see credit-portfolio quality" in " ".join(done.stdout.split())


def test_names_cannot_steer_the_terminal_and_money_always_fits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    hostile = ["\x1b[31mred\x1b[0m", "[bold]x[/bold] " * 5, "ﺍﺎ‮evil", "a\tb\rc", "=1+1"]
    frame = pd.DataFrame(
        {
            "customer_id": hostile,
            "invoice_id": list("12345"),
            "invoice_date": "2024-01-01",
            "due_date": ["2024-01-31", "2024-02-28", "2024-04-01", "2024-05-01", "2024-07-01"],
            "amount": [f"{k}9999999999999.99" for k in range(1, 6)],
        }
    )
    ledger = cp.open_ledger(frame, as_of="2024-06-15")
    tables.show_ageing(ledger, ledger.ageing(), "due", 20)
    table = kpi.indicators(ledger, by="customer_id", over=2)
    tables.show_series(ledger, table, kpi.INDICATORS, 20)
    tables.show_quality(ledger)
    page = capsys.readouterr().out
    assert "\x1b" not in page
    assert "‮" not in page
    assert "[bold]x[/bold]" in page
    assert "in million" in page
    assert columns_of(page) <= WIDTH


def test_a_table_of_a_database_is_a_source(invoices: Path, tmp_path: Path) -> None:
    place = tmp_path / "book.duckdb"
    with duckdb.connect(str(place)) as database:
        database.read_csv(str(invoices), all_varchar=True).create("x; drop table y")
        database.execute("CREATE SCHEMA old")
        database.execute(
            """CREATE TABLE old.bad AS SELECT *, 'x' AS "due" FROM "x; drop table y" """
        )
        database.execute("UPDATE old.bad SET amount = '?' WHERE region = 'west'")
    of_file = run("ageing", invoices, "--by", "region")
    of_table = run("ageing", place, "--table", "x; drop table y", "--by", "region")
    assert of_table.returncode == 0, of_table.stderr
    assert of_table.stdout.splitlines()[2:] == of_file.stdout.splitlines()[2:]
    toml = tmp_path / "run.toml"
    toml.write_text('[ledger]\ntable = "bad"\nschema = "old"\n', encoding="utf-8")
    done = run("quality", place, "--settings", toml, "--out", tmp_path / "q.json")
    assert done.returncode == 0, done.stderr
    assert "amount '?' is not a number" in done.stdout
    assert json.loads((tmp_path / "q.json").read_text())["rows_rejected"] > 0
    done = run("ageing", invoices, "--table", "y")
    assert done.returncode == 64
    assert "table means nothing" in done.stderr


def test_a_column_of_numbers_with_gaps_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame(
        {
            "customer_id": ["A", "B"],
            "invoice_id": ["1", "2"],
            "invoice_date": ["2024-01-01", "2024-02-01"],
            "due_date": ["2024-01-31", "2024-03-02"],
            "amount": ["5", "7"],
            "grade": [1.5, None],
        }
    )
    ledger = cp.open_ledger(frame, as_of="2024-03-31")
    tables.show_ageing(ledger, ledger.ageing("grade"), "due", 20)
    tables.show_series(ledger, kpi.indicators(ledger, by="grade"), kpi.INDICATORS, 20)
    tables.show_series(ledger, kpi.indicators(ledger, by="grade", over=2), kpi.INDICATORS, 20)
    page = capsys.readouterr().out
    assert page.count("(blank)") == 3
    assert "nan" not in page


def test_a_book_in_which_nothing_is_open(capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame(
        {
            "customer_id": ["A"],
            "invoice_id": ["1"],
            "invoice_date": ["2024-01-01"],
            "due_date": ["2024-01-31"],
            "amount": ["5"],
            "settled_date": ["2024-01-20"],
        }
    )
    ledger = cp.open_ledger(frame)
    tables.show_ageing(ledger, ledger.ageing(), "due", 20)
    rates = kpi.roll_rates(ledger).iloc[0]
    tables.show_indicators(ledger, kpi.indicators(ledger).iloc[0], kpi.INDICATORS, rates)
    page = capsys.readouterr().out
    assert "1 more owes nothing" in page
    assert "nan" not in page


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["ageing"], 64, "Missing argument"),
        (["ageing", "{invoices}", "--by", "regoin"], 64, "Did you mean 'region'"),
        (["ageing", "{invoices}", "--basis", "booking"], 64, "expected 'due'"),
        (["ageing", "{invoices}", "--edges", "30,x"], 64, "--edges is '30,x'"),
        (["ageing", "{invoices}", "--edges", "60,30"], 64, "increase"),
        (["ageing", "{invoices}", "--rows", "0"], 64, "--rows"),
        (["ageing", "{folder}/none.csv", "--out", "{folder}/x.txt"], 64, ".csv, .xlsx or .json"),
        (["ageing", "{folder}/none.csv"], 1, "none.csv"),
        (["ageing", "{invoices}", "--out", "/dev/null/x.csv"], 1, "cannot write"),
        (["indicators", "{invoices}", "--by", "regoin"], 64, "Did you mean 'region'"),
        (["indicators", "{invoices}", "--over", "0"], 64, "--over"),
        (["indicators", "{invoices}", "--days", "many"], 64, "--days"),
        (["indicators", "{invoices}", "--profile", "imb"], 64, "Did you mean 'ibm'"),
        (["indicators", "{invoices}", "--as-of", "1999-01-01"], 1, "1999-01-01"),
        (["quality", "{folder}/none.csv"], 1, "none.csv"),
    ],
)
def test_each_failure_has_its_exit_code(
    invoices: Path, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    done = run(*[word.format(invoices=invoices, folder=tmp_path) for word in arguments])
    assert done.returncode == code, done.stdout + done.stderr
    assert says in " ".join((done.stdout + done.stderr).replace("│", " ").split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["ageing", "indicators"])
def test_a_failed_command_leaves_no_empty_folder(command: str, tmp_path: Path) -> None:
    done = run(command, tmp_path / "nofile.csv", "--out", tmp_path / "new" / "deep" / "a.csv")
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_allocate_takes_a_table_of_a_database_too(invoices: Path, tmp_path: Path) -> None:
    book = tmp_path / "book.duckdb"
    with duckdb.connect(str(book)) as con:
        con.read_csv(str(invoices), all_varchar=True).create("receivables")
    options = ["--outside", "clip", "--markup", "0.25"]
    done = run("allocate", book, "--table", "receivables", *options)
    alone = run("allocate", invoices, *options)
    assert (done.returncode, alone.returncode) == (0, 0), done.stderr + alone.stderr
    # All but the name of the source, in the heading.
    assert done.stdout.splitlines()[2:] == alone.stdout.splitlines()[2:]


def test_a_password_is_neither_shown_nor_kept(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="the driver of PostgreSQL is not installed")
    url = "postgresql://anna:secret@127.0.0.1:1/books"
    done = run("allocate", url, "--table", "receivables", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "books at 127.0.0.1 cannot be reached" in done.stderr
    record = (tmp_path / "out" / "run.json").read_text(encoding="utf-8")
    assert "postgresql://127.0.0.1:1/books" in record
    assert "secret" not in done.stdout + done.stderr + record
