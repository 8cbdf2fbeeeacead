"""Tables of DuckDB files: whatever they are called, and however many ledgers look at a file."""

from __future__ import annotations

import datetime as dt

import duckdb
import pytest

from credit_portfolio.errors import DataError
from credit_portfolio.ledger import verdicts
from credit_portfolio.ledger.source import open_ledger
from credit_portfolio.returns.panel import ReturnPanel
from credit_portfolio.returns.rule import ReturnRule

ROWS = """
    SELECT * FROM (VALUES
        ('C1', 'I1', DATE '2024-01-05', DATE '2024-02-05', 120.00, DATE '2024-02-07', 'north'),
        ('C2', 'I2', DATE '2024-01-09', DATE '2024-02-09', 50.00, NULL, 'south'),
        ('C1', 'I3', {day}, DATE '2024-03-05', 50.00, {settled}, 'north')
    ) AS t(customer_id, invoice_id, invoice_date, due_date, amount, settled_date, region)
"""


def written(path, name, day="DATE '2024-02-05'", settled="NULL::DATE"):
    with duckdb.connect(str(path)) as con:
        rows = ROWS.format(day=day, settled=settled)
        con.execute(f'CREATE TABLE "{name}" AS {rows}')
    return path


@pytest.mark.parametrize(
    "name", ["customers", "copies", "raw", "accepted", "parsed", "judged", "batch", "it's; drop"]
)
def test_a_table_may_have_any_name(tmp_path, name):
    path = written(tmp_path / "book's.duckdb", name)
    ledger = open_ledger(path, table=name, as_of="2024-06-30")
    assert ledger.exposure().to_dict() == {"C1": 50.0, "C2": 50.0}
    assert ledger.ageing(by="region").loc["south", "total"] == 50.0
    assert ReturnPanel.from_ledger(ledger, ReturnRule(0.25), "month").costs.sum() == 176.0


def test_a_file_can_be_opened_again_while_a_ledger_looks_at_it(tmp_path):
    path = written(tmp_path / "book.duckdb", "rows")
    first = open_ledger(path, table="rows", as_of="2024-06-30")
    second = open_ledger(path, table="rows", as_of="2024-01-31", temp_directory=tmp_path)
    assert (first.n_invoices, second.n_invoices) == (3, 2)
    assert first.exposure().sum() == 100.0


def test_tables_of_other_places_are_not_offered(tmp_path):
    path = written(tmp_path / "book.duckdb", "invoices")
    with pytest.raises(DataError, match=r"has no table 'invoice'; found 'invoices': "):
        open_ledger(path, table="invoice")


def test_a_file_that_is_no_whole_database_is_refused(tmp_path):
    path = written(tmp_path / "book.duckdb", "rows")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match="cannot be opened"):
        open_ledger(path, table="rows")


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("day", ["'infinity'", "'-infinity'", "'0044-03-15 (BC)'", "'9999-12-31'"])
@pytest.mark.parametrize("column", ["day", "settled"])
def test_days_beyond_the_calendar_are_implausible(tmp_path, monkeypatch, column, day, quick):
    path = written(tmp_path / "book.duckdb", "rows", **{column: f"DATE {day}"})
    if not quick:
        monkeypatch.setattr(verdicts, "at_a_glance", lambda *args: None)
    ledger = open_ledger(path, table="rows")
    assert ledger.as_of == dt.date(2024, 2, 7)
    assert ledger.quality.rejected["rule"].tolist() == ["implausible_date"]
    assert ledger.n_invoices == 2
