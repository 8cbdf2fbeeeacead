"""Exposure and ageing add up, on any day and by any column."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from credit_portfolio.errors import ModelError
from credit_portfolio.ledger.source import open_ledger

AS_OF = "2024-06-30"


@pytest.fixture
def ledger(book):
    """Return a book whose invoices are 0, 1, 30, 31, 60, 61, 90, 91 and 400 days past due."""
    days = [-5, 0, 1, 30, 31, 60, 61, 90, 91, 400]
    due = [(pd.Timestamp(AS_OF) - pd.Timedelta(day, "D")).date().isoformat() for day in days]
    rows = [
        {
            "customer_id": f"C{place % 3}",
            "invoice_date": "2023-01-01",
            "due_date": date,
            "amount": f"{10**place / 100:.2f}" if place else "0.10",
            "region": ["north", "", None][place % 3],
        }
        for place, date in enumerate(due)
    ]
    paid = {"customer_id": "C9", "invoice_date": "2023-01-01", "settled_date": "2024-02-09"}
    return open_ledger(book(*rows, paid), as_of=AS_OF)


def test_each_bucket_holds_its_days(ledger):
    row = ledger.ageing(by=None, exact=True).loc["total"]
    assert list(row.index) == ["not_due", "1-30", "31-60", "61-90", "over 90", "total"]
    # amounts are 0.10, then 10**place / 100: -5 and 0 days | 1, 30 | 31, 60 | 61, 90 | 91, 400
    expected = ["0.20", "11.00", "1100.00", "110000.00", "11000000.00", "11111111.20"]
    assert list(row) == [Decimal(text) for text in expected]


def test_ageing_from_the_invoice_has_no_bucket_for_not_due(ledger, book):
    row = ledger.ageing(by=None, basis="invoice", edges=(10, 546, 547)).loc["total"]
    assert list(row.index) == ["0-10", "11-546", "547-547", "over 547", "total"]
    assert row["11-546"] == row["total"] == pytest.approx(11111111.20)
    young = open_ledger(book({"invoice_date": AS_OF, "due_date": AS_OF}), as_of=AS_OF)
    assert young.ageing(by=None, basis="invoice").loc["total", "0-30"] == 100


@pytest.mark.parametrize("by", ["customer_id", "region", "disputed", None])
def test_buckets_add_up_to_the_outstanding(ledger, by):
    ageing = ledger.ageing(by=by, exact=True)
    buckets = ageing.drop(columns="total")
    assert (buckets.sum(axis=1) == ageing["total"]).all()
    assert ageing["total"].sum() == ledger.quality.control_totals["money"]["open"]
    assert (ledger.ageing(by=by).dtypes == "float64").all()


def test_a_blank_group_is_a_row_of_its_own(ledger):
    assert list(ledger.ageing(by="region").index) == ["", "north"]
    assert ledger.ageing(by="region").index.name == "region"


def test_exposure_lists_every_customer_sorted(ledger):
    exposure = ledger.exposure()
    assert list(exposure.index) == ["C0", "C1", "C2", "C9"]
    assert exposure["C9"] == 0
    assert (exposure.name, exposure.index.name) == ("exposure", "customer_id")
    assert exposure.dtype == np.float64
    pd.testing.assert_series_equal(
        exposure, ledger.ageing()["total"].rename("exposure"), check_exact=True
    )


def test_customers_who_only_come_later_do_not_appear(book):
    ledger = open_ledger(
        book({}, {"customer_id": "C2", "invoice_date": "2024-02-01"}), as_of="2024-01-31"
    )
    assert list(ledger.exposure().index) == ["C1"]
    assert ledger.n_customers == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"by": "regon"}, "by 'regon'.*Did you mean 'region'"),
        ({"by": "amount"}, "by 'amount'"),
        ({"basis": "invoices"}, "Did you mean 'invoice'"),
        ({"edges": ()}, "increase"),
        ({"edges": (0, 30)}, "increase"),
        ({"edges": (30, 30)}, "increase"),
        ({"edges": (60, 30)}, "increase"),
        ({"edges": (30.5,)}, "whole days"),
        ({"edges": (True,)}, "whole days"),
    ],
)
def test_ageing_that_makes_no_sense_is_a_model_error(ledger, options, words):
    with pytest.raises(ModelError, match=words):
        ledger.ageing(**options)


def test_edges_beyond_the_calendar_are_fine(ledger):
    row = ledger.ageing(by=None, edges=(10**7,)).loc["total"]
    assert row["over 10000000"] == 0


def test_the_text_says_what_when_and_how_much(ledger):
    assert repr(ledger).startswith("Ledger as of 2024-06-30: 11 invoices of 4 customers, 10 open")
    assert "open 11,111,111.20" in repr(ledger)


@pytest.mark.parametrize("name", ["x'\"; drop table invoices; --", "<script>alert(1)</script>"])
def test_names_that_look_like_code_do_no_harm(book, name):
    frame = book({"customer_id": name, "region": name}, {"customer_id": name, "amount": name})
    frame = frame.rename(columns={"region": name})
    ledger = open_ledger(frame)
    assert list(ledger.exposure().index) == [name]
    assert ledger.ageing(by=name)["total"].to_dict() == {name: 100.0}
    assert ledger.groups == (name,)
    assert ledger.to_frame()[name][0] == name
    assert ledger.quality.rejected[name][0] == "north"
    assert "<script" not in ledger.quality._repr_html_()


def test_a_file_name_that_looks_like_code_is_escaped_on_the_page(csv_file):
    text = "customer_id,invoice_id,invoice_date,due_date,amount\nC,1,2024-01-10,2024-02-09,5.00\n"
    quality = open_ledger(csv_file(text, "<b>&'.csv")).quality
    assert "<b>" not in quality._repr_html_()
    assert "&lt;b&gt;&amp;" in quality._repr_html_()
    assert "<b>" in repr(quality)


def test_the_page_shows_counts_rules_findings_and_totals(book):
    quality = open_ledger(
        book({}, {"amount": "x"}, {"written_off_amount": "1"}), as_of="2024-05-01"
    ).quality
    for page in (repr(quality), quality._repr_html_()):
        for words in ("rows and EUR", "amount_not_a_number", "undated_write_off", "199.00"):
            assert words in page
        assert "missing_customer_id" not in page


def test_the_rest_of_the_room_opens_without_the_engine():
    code = (
        "import sys, credit_portfolio, credit_portfolio.ledger.positions, "
        "credit_portfolio.ledger.quality, credit_portfolio.ledger.schema; "
        "raise SystemExit('ibis' in sys.modules or 'duckdb' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
