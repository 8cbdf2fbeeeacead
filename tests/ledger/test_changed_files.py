"""Parquet files that are written again under an open ledger: no question is answered from them."""

from __future__ import annotations

import os

import pandas as pd
import pytest

import credit_portfolio as cp
from credit_portfolio.errors import DataError

ROWS = pd.DataFrame(
    {
        "customer_id": ["C1", "C2", "C1", "C2"],
        "invoice_id": ["1", "2", "3", "4"],
        "invoice_date": pd.to_datetime(["2024-01-05", "2024-01-09", "2024-02-05", "2024-03-05"]),
        "due_date": pd.to_datetime(["2024-02-05", "2024-02-09", "2024-03-05", "2024-04-05"]),
        "amount": [100.0, 50.0, 70.0, 30.0],
        "settled_date": pd.to_datetime(["2024-02-07", None, None, None]),
    }
)
QUESTIONS = {
    "exposure": lambda ledger: ledger.exposure(),
    "ageing": lambda ledger: ledger.ageing(),
    "to_frame": lambda ledger: ledger.to_frame(),
    "on another day": lambda ledger: ledger.on("2024-02-29"),
    "indicators": lambda ledger: cp.indicators(ledger, over=2),
    "concentration": lambda ledger: cp.concentration(ledger),
    "roll_rates": lambda ledger: cp.roll_rates(ledger),
    "panel": lambda ledger: cp.ReturnPanel.from_ledger(ledger, cp.ReturnRule(0.25), "month"),
    "updatable panel": lambda ledger: cp.ReturnPanel.from_ledger(
        ledger, cp.ReturnRule(0.25), "month", updatable=True
    ),
}


@pytest.mark.parametrize("asked", QUESTIONS)
def test_no_question_is_answered_from_rows_that_nobody_has_judged(tmp_path, asked):
    path = tmp_path / "book.parquet"
    ROWS.to_parquet(path)
    ledger = cp.open_ledger(path, as_of="2024-06-30")
    QUESTIONS[asked](ledger)
    ROWS.assign(amount=-ROWS["amount"]).to_parquet(path)
    with pytest.raises(DataError, match=r"book.parquet' has changed since the ledger was opened"):
        QUESTIONS[asked](ledger)


@pytest.mark.parametrize("asked", QUESTIONS)
def test_a_file_that_is_gone_is_told(tmp_path, asked):
    for month in (1, 2):
        ROWS[ROWS.index % 2 == month - 1].to_parquet(tmp_path / f"{month}.parquet")
    ledger = cp.open_ledger(tmp_path, as_of="2024-06-30")
    os.remove(tmp_path / "2.parquet")
    with pytest.raises(DataError, match=r"2.parquet' is gone since the ledger was opened"):
        QUESTIONS[asked](ledger)


def test_a_file_that_was_read_whole_may_change(tmp_path):
    path = tmp_path / "book.csv"
    ROWS.to_csv(path, index=False)
    ledger = cp.open_ledger(path, as_of="2024-06-30", decimal=".")
    before = ledger.exposure()
    os.remove(path)
    pd.testing.assert_series_equal(ledger.exposure(), before)
