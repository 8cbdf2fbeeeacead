"""Returns on a ledger of entries: a discount is money that never came, neither debt nor sale."""

from __future__ import annotations

import pandas as pd
import pytest

import credit_portfolio as cp

COLUMNS = [
    "customer_id", "document", "against_document", "kind", "booking_date", "due_date", "amount",
]  # fmt: skip
# Invoiced on 2 January, paid 28 days later with two per cent kept back, and another lost in part.
ENTRIES = [
    ("C1", "I1", "", "invoice", "2024-01-02", "2024-02-01", "100.00"),
    ("C1", "P1", "I1", "payment", "2024-01-30", "", "-98.00"),
    ("C1", "P1", "I1", "discount", "2024-01-30", "", "-2.00"),
    ("C2", "I2", "", "invoice", "2024-01-02", "2024-02-01", "100.00"),
    ("C2", "P2", "I2", "payment", "2024-01-30", "", "-60.00"),
    ("C2", "W2", "I2", "write_off", "2024-01-30", "", "-40.00"),
    ("C3", "I3", "", "invoice", "2024-01-02", "2024-02-01", "100.00"),
    ("C3", "N3", "I3", "credit_note", "2024-01-10", "", "-50.00"),
    ("C3", "P3", "I3", "payment", "2024-01-30", "", "-50.00"),
]


@pytest.mark.parametrize("funding_rate", [0.0, 0.10])
def test_a_discount_is_lost_a_credit_note_was_never_sold(funding_rate: float) -> None:
    ledger = cp.open_entries(pd.DataFrame(ENTRIES, columns=COLUMNS), as_of="2024-06-30")
    rule = cp.ReturnRule(markup=0.25, funding_rate=funding_rate)
    panel = cp.ReturnPanel.from_ledger(ledger, rule, period="month")
    found = panel.to_frame().iloc[0]
    funded = funding_rate * 28 / 365
    assert found["C1"] == pytest.approx((98 - 80) / 80 - funded)
    assert found["C2"] == pytest.approx((60 - 80) / 80 - funded)
    assert found["C3"] == pytest.approx((50 - 40) / 40 - funded)  # half of it came back unsold
