"""Copies are looked for by sorting a number a row: what is found is what grouping finds."""

from __future__ import annotations

import ibis
import numpy as np
import pandas as pd
import pytest

from credit_portfolio.ledger import engines, judging
from credit_portfolio.ledger.source import open_ledger


@pytest.fixture
def column():
    con = ibis.duckdb.connect()
    con.raw_sql(
        "CREATE TABLE ids AS SELECT * FROM (VALUES ('a'), ('ü'), ('a'), ('c'), (NULL), (NULL),"
        " ('ü'), ('a'), ('')) AS t(invoice_id)"
    )
    return engines.table_named(con, "ids", None, "the test")


def test_the_numbers_of_ids_that_come_twice_are_those_of_the_hash_of_ibis(column):
    hashes = column.select(id=column.invoice_id, key=column.invoice_id.hash()).to_pyarrow()
    expected = {row["key"] for row in hashes.to_pylist() if row["id"] in ("a", "ü")}
    found = engines.twice(column)
    assert found.dtype == np.uint64
    assert set(found.view(np.int64).tolist()) == expected  # the same bits


def test_no_row_has_no_copy(column):
    assert engines.twice(column.filter(column.invoice_id == "z")).tolist() == []


def test_more_rows_than_fit_are_left_to_the_engine(column):
    assert engines.twice(column, most=6) is None
    assert engines.twice(column, most=7) is not None


def rows(ids):
    return pd.DataFrame(
        {
            "customer_id": "C1",
            "invoice_id": ids,
            "invoice_date": "2024-01-10",
            "due_date": "2024-02-10",
            "amount": [f"{10 + k % 2}.00" for k in range(len(ids))],
        }
    )


def test_sorting_and_grouping_reject_the_same_rows(monkeypatch):
    frame = rows(["A", "B", "A", "C", "C", "C", "D", "E", "E"])
    sorted_ = open_ledger(frame, as_of="2024-03-01", decimal=".")
    monkeypatch.setattr(engines, "twice", lambda column: None)
    grouped = open_ledger(frame, as_of="2024-03-01", decimal=".")
    pd.testing.assert_frame_equal(sorted_.quality.rejected, grouped.quality.rejected)
    assert sorted_.quality.rows_rejected == 6


def test_more_ids_than_a_question_can_list_are_looked_up(monkeypatch):
    monkeypatch.setattr(judging, "MOST_LISTED", 1)
    monkeypatch.setattr(judging, "FEW_LISTED", 1)
    ledger = open_ledger(rows(["A", "B", "A", "C", "C"]), as_of="2024-03-01", decimal=".")
    assert ledger.quality.rows_rejected == 3


@pytest.mark.parametrize("end", ["\u0600", "\u0301", "é", "\x01"])
def test_space_is_seen_behind_a_mark_that_holds_on_to_what_follows(end, tmp_path):
    path = tmp_path / "rows.parquet"
    frame = rows([f"A{end}", f"A{end} ", f"B{end}"])
    frame["amount"] = "10.00"
    for source in (frame, path):
        frame.to_parquet(path)
        ledger = open_ledger(source, as_of="2024-03-01", profile={}, decimal=".")
        assert ledger.quality.rejected["rule"].tolist() == ["identical_copy"]
        assert sorted(ledger.to_frame()["invoice_id"]) == [f"A{end}", f"B{end}"]


@pytest.mark.parametrize("space", [" ", "\t", "\n", "\r", "\v", "\f"])
@pytest.mark.parametrize("form", ["{}A", "A{}", "{}{}A{}"])
def test_space_of_every_kind_around_an_id_is_seen(space, form, tmp_path):
    path = tmp_path / "rows.parquet"
    frame = rows([form.replace("{}", space), "B\x1f", "\x01C", "D E"])
    frame["amount"] = [10.0, 11.0, 12.0, 13.0]
    frame.to_parquet(path)
    ledger = open_ledger(path, as_of="2024-03-01", profile={}, date_format="%Y-%m-%d")
    found = ledger.quality.findings.set_index("finding")["rows"]
    assert found["trimmed_ids"] == 1
    assert sorted(ledger.to_frame()["invoice_id"]) == ["\x01C", "A", "B\x1f", "D E"]
