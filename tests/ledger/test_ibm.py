"""A ledger that nobody here wrote: its published figures come out."""

from __future__ import annotations

import csv
import datetime
from decimal import Decimal

import pytest

from credit_portfolio.ledger.source import open_ledger


@pytest.mark.parametrize(
    ("day", "invoices", "still_open"), [("2013-09-30", 2258, 88), ("2013-06-30", None, 84)]
)
def test_the_known_counts_come_out(ibm_ledger_csv, day, invoices, still_open):
    ledger = open_ledger(ibm_ledger_csv, profile="ibm", as_of=day)
    quality = ledger.quality
    assert (quality.rows_read, quality.rows_accepted, quality.rows_rejected) == (2466, 2466, 0)
    assert ledger.n_open == still_open
    assert ledger.n_customers == 100
    if invoices:
        assert ledger.n_invoices == invoices
        assert quality.rows_after_as_of == 208


def test_the_whole_book_agrees_with_plain_python(ibm_ledger_csv):
    def day(text: str) -> datetime.date:
        month, dom, year = map(int, text.split("/"))
        return datetime.date(year, month, dom)

    with ibm_ledger_csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    ledger = open_ledger(ibm_ledger_csv, profile="ibm")
    frame = ledger.to_frame()
    assert ledger.as_of == max(day(row["SettledDate"]) for row in rows)
    assert ledger.quality.amount_accepted == sum(Decimal(row["InvoiceAmount"]) for row in rows)
    assert (min(frame["amount"]), max(frame["amount"])) == (Decimal("5.26"), Decimal("128.28"))
    assert int(frame["disputed"].sum()) == 561
    late = (frame["settled_date"] - frame["due_date"]).dt.days
    assert late.max() == 45
    expected = {row["invoiceNumber"]: int(row["DaysLate"]) for row in rows}
    assert dict(zip(frame["invoice_id"], late.clip(lower=0), strict=True)) == expected
    assert ledger.n_open == 0
    assert (ledger.exposure() == 0).all()


def test_open_money_on_a_day_agrees_with_plain_python(ibm_ledger_csv):
    cut = datetime.datetime(2013, 9, 30)
    owed: dict[str, Decimal] = {}
    with ibm_ledger_csv.open(newline="") as file:
        for row in csv.DictReader(file):
            invoiced = datetime.datetime.strptime(row["InvoiceDate"], "%m/%d/%Y")
            settled = datetime.datetime.strptime(row["SettledDate"], "%m/%d/%Y")
            if invoiced <= cut:
                still = Decimal(row["InvoiceAmount"]) if settled > cut else Decimal(0)
                owed[row["customerID"]] = owed.get(row["customerID"], Decimal(0)) + still
    ledger = open_ledger(ibm_ledger_csv, profile="ibm", as_of="2013-09-30")
    ageing = ledger.ageing(exact=True)["total"].to_dict()
    assert ageing == owed
    assert ledger.exposure().to_dict() == {name: float(money) for name, money in owed.items()}
