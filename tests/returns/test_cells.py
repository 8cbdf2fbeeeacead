"""The cells of a panel: added up here or by the engine, the same to the last digits."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from credit_portfolio.errors import DataError
from credit_portfolio.ledger import engines, source
from credit_portfolio.ledger.source import open_ledger
from credit_portfolio.returns import adding, cells
from credit_portfolio.returns.rule import ProvisionMatrix, ReturnRule

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
            "margin": rng.choice([0.1, 0.25, 0.4], rows),
        }
    )


MATRIX = ProvisionMatrix((0, 30, 60, 90), (0.01, 0.05, 0.1, 0.3, 0.8))
BY_INVOICE = ProvisionMatrix((45,), (0.02, 0.5), basis="invoice")
RULES = [
    RULE,
    ReturnRule(0.3),
    ReturnRule("margin", 0.05),
    ReturnRule(0.25, 0.08, MATRIX),
    ReturnRule("margin", 0.0, MATRIX, late_settlement="provisioned"),
    ReturnRule(0.2, 0.1, BY_INVOICE, late_settlement="provisioned"),
]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["month", "quarter", "year"]),
    st.sampled_from(RULES),
    st.sampled_from(["2023-06-30", "2024-06-30"]),
)
def test_sums_made_here_are_those_of_the_engine(seed, period, rule, day):
    ledger = open_ledger(book(seed), as_of=day)
    here = cells.sheet_of(ledger, rule, period)
    there = cells.sheet_of(replace(ledger, embedded=None), rule, period)
    assert here.customers == there.customers
    np.testing.assert_array_equal(here.ordinals, there.ordinals)
    np.testing.assert_array_equal(here.invoices, there.invoices)
    for name in ("cost", "profit", "amount", "open"):
        np.testing.assert_allclose(getattr(here, name), getattr(there, name), **ROUNDING)


@pytest.mark.parametrize("day", ["2023-03-31", "2023-07-31", "9999-12-31"])
@pytest.mark.parametrize("months", [[3], [3, 4], [3, 7]])
def test_rows_of_one_month_or_of_several_are_added_alike_however_far_the_day(months, day):
    rows = book(8)
    rows["invoice_date"] = [dt.date(2023, months[k % len(months)], 1 + k % 28) for k in range(60)]
    rows["due_date"] = dt.date(2023, 8, 1)
    ledger = open_ledger(rows.assign(settled_date=dt.date(2023, 8, 2)), as_of=day)
    here, there = (
        cells.sheet_of(replace(ledger, embedded=inside), RULE, "month")
        for inside in (ledger.embedded, None)
    )
    seen = [month for month in months if month <= 3 or day != "2023-03-31"]
    assert (here.ordinals - here.ordinals[0]).tolist() == [month - 3 for month in seen]
    np.testing.assert_array_equal(here.ordinals, there.ordinals)
    for name in ("invoices", "cost", "profit", "amount", "open"):
        np.testing.assert_allclose(getattr(here, name), getattr(there, name), **ROUNDING)


@pytest.mark.parametrize("day", ["2024-01-31", "2024-03-31", "9999-12-31"])
def test_invoices_dated_ahead_have_a_period_once_the_day_has_come(monkeypatch, day):
    monkeypatch.setattr(source, "today", lambda: dt.date(2024, 1, 15))
    rows = book(9).head(3).drop(columns="settled_date")
    rows["invoice_date"] = [dt.date(2024, 1, 2), dt.date(2024, 1, 20), dt.date(2024, 3, 5)]
    ledger = open_ledger(rows.assign(due_date=dt.date(2024, 4, 1)), as_of=day)
    here, there = (
        cells.sheet_of(replace(ledger, embedded=inside), ReturnRule(0.25), "month")
        for inside in (ledger.embedded, None)
    )
    assert here.invoices.tolist() == there.invoices.tolist() == [2, 1][: 1 + (day > "2024-03")]
    np.testing.assert_array_equal(here.ordinals, there.ordinals)


def test_a_customer_without_an_invoice_by_the_day_has_no_column():
    rows = book(3)
    first = rows["invoice_date"].groupby(rows["customer_id"]).min()
    day = first.sort_values().iloc[-2]
    sheet = cells.sheet_of(open_ledger(rows, as_of="2024-12-31").on(day), RULE, "month")
    assert sheet.customers == sorted(first[first <= day].index)


def test_totals_are_exact_to_the_smallest_unit_however_large_the_money():
    ledger = open_ledger(book(4, rows=500, largest=9e12), as_of="2024-12-31")
    totals = adding.added_up(ledger, ledger.embedded, RULE, "month").totals()
    known = ledger.quality.control_totals["money"]
    assert (totals["amount"], totals["open"]) == (known["amount"], known["open"])
    assert totals["invoices"] == ledger.n_invoices


def test_customers_of_one_hash_are_left_to_the_engine(monkeypatch):
    ledger = open_ledger(book(5), as_of="2024-12-31")
    alike = np.zeros(9, dtype=np.uint64)
    monkeypatch.setattr(adding, "_customers", lambda embedded: ([""] * 9, alike))
    assert adding.added_up(ledger, ledger.embedded, RULE, "month") is None
    there = cells.sheet_of(replace(ledger, embedded=None), RULE, "month")
    assert cells.sheet_of(ledger, RULE, "month").customers == there.customers


@pytest.mark.parametrize(
    ("column", "value"), [("customer_id", "C99"), ("invoice_date", dt.date(2023, 1, 2))]
)
def test_a_customer_or_a_day_that_was_not_there_is_noticed(tmp_path, monkeypatch, column, value):
    path, rows = tmp_path / "book.parquet", book(7)
    rows["invoice_date"] = [max(day, dt.date(2023, 2, 1)) for day in rows["invoice_date"]]
    rows.to_parquet(path)
    ledger = open_ledger(path, as_of="2024-12-31")
    asked = adding._customers

    def changed(embedded):
        found = asked(embedded)
        rows.loc[7, column] = value  # after the span was asked for
        rows.to_parquet(path)
        return found

    monkeypatch.setattr(adding, "_customers", changed)
    monkeypatch.setattr(engines, "refuse_changed", lambda engine: None)  # as within one question
    with pytest.raises(DataError, match="it has other customers, dates or markups"):
        cells.sheet_of(ledger, RULE, "month")


@settings(max_examples=50)
@given(st.sets(st.integers(0, 2**64 - 1), min_size=1, max_size=40), st.integers(0, 63))
def test_every_key_is_found_in_its_place_also_where_many_begin_alike(numbers, shift):
    keys = np.array(sorted({n >> shift for n in numbers}, key=hash), dtype=np.uint64)
    np.random.default_rng(0).shuffle(keys)
    places = adding.places_of(keys)
    asked = np.concatenate([keys, keys[::-1]])
    np.testing.assert_array_equal(keys[places.of(asked)], asked)
    absent = np.array([n for n in range(len(keys) + 1) if n not in set(keys.tolist())][:1])
    assert places.of(np.append(keys, absent.astype(np.uint64))) is None


def test_totals_that_are_not_those_of_the_opening_are_refused(tmp_path, monkeypatch):
    path, rows = tmp_path / "book.parquet", book(6)
    rows.to_parquet(path)
    ledger = open_ledger(path, as_of="2024-12-31")
    rows.loc[7, "amount"] += Decimal("0.01")
    rows.to_parquet(path)
    monkeypatch.setattr(engines, "refuse_changed", lambda engine: None)  # a clock that stands
    with pytest.raises(DataError, match="has changed since the ledger was opened: amount"):
        cells.sheet_of(ledger, RULE, "month")
