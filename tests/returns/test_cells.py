"""The cells of a panel: added up here or by the engine, the same to the last digits."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from credit_portfolio.errors import DataError
from credit_portfolio.ledger.source import open_ledger
from credit_portfolio.returns import cells
from credit_portfolio.returns.rule import ReturnRule

RULE = ReturnRule(0.25, 0.08)
# A cell here is a sum of at most sixty floats, taken in another order.
ROUNDING = {"rtol": 1e-12, "atol": 1e-10}


def book(seed: int, rows: int = 60, largest: float = 10_000.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    start = pd.Timestamp("2023-01-01")
    invoiced = start + pd.to_timedelta(rng.integers(0, 700, rows), unit="D")
    settled = invoiced + pd.to_timedelta(rng.integers(1, 300, rows), unit="D")
    return pd.DataFrame(
        {
            "customer_id": [f"C{k:02d}" for k in rng.integers(0, 9, rows)],
            "invoice_id": [f"I{k}" for k in range(rows)],
            "invoice_date": invoiced.date,
            "due_date": (invoiced + pd.Timedelta(days=30)).date,
            "amount": [Decimal(round(a)) / 100 for a in rng.uniform(1, 100 * largest, rows)],
            "settled_date": [d.date() if rng.random() < 0.8 else None for d in settled],
        }
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["month", "quarter", "year"]))
def test_sums_made_here_are_those_of_the_engine(seed, period):
    ledger = open_ledger(book(seed), as_of="2024-06-30")
    here = cells.sheet_of(ledger, RULE, period)
    there = cells.sheet_of(replace(ledger, codes=None), RULE, period)
    assert here.customers == there.customers
    np.testing.assert_array_equal(here.ordinals, there.ordinals)
    np.testing.assert_array_equal(here.invoices, there.invoices)
    for name in ("cost", "profit", "amount", "open"):
        np.testing.assert_allclose(getattr(here, name), getattr(there, name), **ROUNDING)


def test_a_customer_without_an_invoice_by_the_day_has_no_column():
    rows = book(3)
    first = rows["invoice_date"].groupby(rows["customer_id"]).min()
    day = first.sort_values().iloc[-2]
    sheet = cells.sheet_of(open_ledger(rows, as_of="2024-12-31").on(day), RULE, "month")
    assert sheet.customers == sorted(first[first <= day].index)


def test_money_that_floats_cannot_hold_exactly_is_left_to_the_engine():
    rows = book(4, largest=9e12)
    ledger = open_ledger(rows, as_of="2024-12-31")
    assert cells.added_up(cells.rows_of(ledger, RULE, "month"), ledger.codes) is None
    sheet = cells.sheet_of(ledger, RULE, "month")
    assert sheet.amount.sum() == pytest.approx(float(rows["amount"].sum()), rel=1e-15)


def test_totals_are_exact_to_the_smallest_unit():
    ledger = open_ledger(book(5, rows=500), as_of="2024-12-31")
    _, totals = cells.added_up(cells.rows_of(ledger, RULE, "month"), ledger.codes)
    known = ledger.quality.control_totals["money"]
    assert (totals["amount"], totals["open"]) == (known["amount"], known["open"])


def test_a_file_that_changed_since_the_opening_is_noticed(tmp_path):
    path, rows = tmp_path / "book.parquet", book(6)
    rows.to_parquet(path)
    ledger = open_ledger(path, as_of="2024-12-31")
    rows.loc[7, "amount"] += Decimal("0.01")
    rows.to_parquet(path)
    with pytest.raises(DataError, match="has changed since the ledger was opened: amount"):
        cells.sheet_of(ledger, RULE, "month")
