"""A ledger of which no date can be read: the error says which format would read them."""

from __future__ import annotations

import pandas as pd
import pytest

from credit_portfolio.errors import DataError
from credit_portfolio.ledger.mixed_dates import format_meant
from credit_portfolio.ledger.opening import open_entries
from credit_portfolio.ledger.source import open_ledger

ISO = ("%Y-%m-%d", "%Y-%m-%d 00:00:00")
GERMAN = {"invoice_date": "10.01.2024", "due_date": "09.02.2024"}


def refused(open_, *args, **options):
    with pytest.raises(DataError) as caught:
        open_(*args, **options)
    return str(caught.value)


def test_the_format_of_all_dates_is_told_and_reads_them(book):
    rows = book(GERMAN, GERMAN | {"settled_date": "31.01.2024"})
    told = refused(open_ledger, rows)
    assert "all 5 unreadable dates look like '%d.%m.%Y': pass date_format='%d.%m.%Y'; the" in told
    assert open_ledger(rows, date_format="%d.%m.%Y").n_invoices == 2


def test_a_folder_is_told_with_the_file_of_the_first_row(book, tmp_path):
    for name in ("a", "b"):
        book(GERMAN | {"invoice_id": name}).to_parquet(tmp_path / f"{name}.parquet")
    told = refused(open_ledger, tmp_path)
    assert f"file '{tmp_path}/a.parquet', row 1: invoice_date '10.01.2024'" in told
    assert "all 4 unreadable dates look like '%d.%m.%Y'" in told


def test_dates_that_two_formats_read_are_left_to_the_reader(book):
    told = refused(open_ledger, book({"invoice_date": "10/01/2024", "due_date": "09/02/2024"}))
    assert "all 2 unreadable dates look like '%d/%m/%Y' or '%m/%d/%Y': pass date_format= w" in told


def test_a_format_beside_that_of_the_profile_is_told_with_both(book):
    rows = book({"invoice_date": "10.01.2024"}, {"invoice_date": "31.12.2023"})
    told = refused(open_ledger, rows)
    assert "all 2 unreadable dates look like '%d.%m.%Y': pass date_format=['%Y-%m-%d', " in told
    assert open_ledger(rows, date_format=["%Y-%m-%d", "%d.%m.%Y"]).n_invoices == 2


@pytest.mark.parametrize("text", ["", "soon", "31.31.2024"])
def test_no_format_is_told_where_none_fits(book, text):
    told = refused(open_ledger, book({"invoice_date": text, "due_date": text}))
    assert "look like" not in told
    assert told.endswith("the error's failures hold every row")


def test_rows_rejected_for_other_reasons_give_no_hint(book):
    assert "look like" not in refused(open_ledger, book({"amount": "-5"}))


def test_a_ledger_with_accepted_rows_is_no_error_and_keeps_its_note(book):
    notes = open_ledger(book({}, {"invoice_date": "10.01.2024"})).quality.notes
    assert any("1 of 1 rejected ones fit '%d.%m.%Y'" in note for note in notes)


def test_few_dates_of_another_format_are_counted():
    told = format_meant(["1.2.2024", "13.1.2024", "soon"], ISO)
    assert told == (
        "2 of 3 unreadable dates look like '%d.%m.%Y': pass date_format= with what is meant"
    )
    assert format_meant([], ISO) == format_meant(["2024-01-02"], ISO) == ""


def test_entries_are_told_their_format_too():
    columns = ["customer_id", "document", "against_document", "kind", "booking_date", "amount"]
    rows = pd.DataFrame([["C1", "I1", "", "invoice", "13.01.2024", 100.0]], columns=columns).assign(
        due_date="13.02.2024"
    )
    told = refused(open_entries, rows)
    assert "all 1 unreadable dates look like '%d.%m.%Y': pass date_format='%d.%m.%Y'; the" in told
    assert open_entries(rows, date_format="%d.%m.%Y").n_invoices == 1
    assert "look like" not in refused(open_entries, rows.assign(kind="payment", booking_date="x"))
