"""Parquet is judged at a glance where that is possible: with what row by row would have found."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from credit_portfolio.ledger import source
from credit_portfolio.ledger.source import open_ledger

DAY = dt.date(2024, 3, 1)
GOOD = {
    "customer_id": "C1",
    "invoice_id": "I",
    "invoice_date": DAY,
    "due_date": DAY + dt.timedelta(days=30),
    "amount": Decimal("100.00"),
    "settled_date": DAY + dt.timedelta(days=40),
    "settled_amount": Decimal("90.00"),
    "written_off_amount": Decimal("10.00"),
}
ODD = [
    {},
    {"customer_id": None},
    {"customer_id": " C2"},
    {"customer_id": "C2\t"},
    {"customer_id": " "},
    {"invoice_id": ""},
    {"invoice_id": "I \n"},
    {"invoice_id": "É 7 "},
    {"invoice_date": None},
    {"due_date": DAY - dt.timedelta(days=1)},
    {"settled_date": None},
    {"settled_date": None, "settled_amount": None},
    {"settled_amount": None, "written_off_amount": None},
    {"settled_date": DAY - dt.timedelta(days=1)},
    {"invoice_date": dt.date(1901, 1, 1)},
    {"invoice_date": dt.date(2026, 1, 1), "due_date": dt.date(2026, 2, 1), "settled_date": None},
    {"amount": Decimal("-5.00")},
    {"amount": None},
    {"amount": Decimal(10) ** 14},
    {"settled_amount": Decimal("95.00")},
    {"settled_amount": Decimal("-1.00")},
    {"written_off_amount": Decimal("-1.00")},
    {"currency": "USD"},
]


def rows_of(kinds: list[int], copies: list[int]) -> pd.DataFrame:
    rows = []
    for number, kind in enumerate(kinds):
        row = {"currency": "EUR"} | GOOD | {"invoice_id": f"I{number}"} | ODD[kind]
        rows.append(row)
    rows += [dict(rows[k % len(rows)]) for k in copies]
    if len(copies) > 1:
        rows[-1]["amount"] = Decimal("77.00")  # a copy that says something else
    frame = pd.DataFrame(rows)
    kinds_of = {"amount": "decimal", "settled_amount": "decimal", "written_off_amount": "decimal"}
    return frame.astype(dict.fromkeys(kinds_of, object))


def everything(ledger):
    q = ledger.quality
    return (
        [q.rows_read, q.rows_accepted, q.amount_read, q.amount_accepted, q.amount_rejected],
        [q.rows_without_readable_amount, q.rows_after_as_of, q.amount_after_as_of, ledger.as_of],
        q.rules.to_dict("list"),
        q.rejected.astype(str).to_dict("list"),
        q.findings.to_dict("list"),
        q.control_totals.to_dict("list"),
        [ledger.n_invoices, ledger.n_open, ledger.n_customers],
        ledger.to_frame().astype(str).to_dict("list"),
    )


@pytest.mark.parametrize("as_of", [None, "2024-03-31"])
@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.sampled_from(range(len(ODD))), min_size=1, max_size=8),
    st.lists(st.integers(0, 20), max_size=3),
)
def test_a_glance_finds_what_row_by_row_finds(tmp_path_factory, as_of, kinds, copies):
    path = tmp_path_factory.mktemp("glance") / "book.parquet"
    rows_of([0, *kinds], copies).to_parquet(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "today", lambda: dt.date(2025, 1, 1))
        quick = everything(open_ledger(path, as_of=as_of, currency="EUR"))
        patch.setattr(source._Job, "_at_a_glance", lambda *args: None)
        slow = everything(open_ledger(path, as_of=as_of, currency="EUR"))
    assert quick == slow


def test_clean_rows_are_never_asked_for_their_rule(tmp_path, monkeypatch):
    path = tmp_path / "book.parquet"
    rows_of([0, 0, 0], []).to_parquet(path)
    monkeypatch.setattr(source._Job, "_one_by_one", lambda *args: pytest.fail("row by row"))
    assert open_ledger(path, currency="EUR").n_invoices == 3
