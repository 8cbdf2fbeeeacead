"""An invoice of a year far from the others is told: one mistyped year makes a panel long."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings, strategies as st

import credit_portfolio as cp
from credit_portfolio.ledger.source import open_ledger
from credit_portfolio.ledger.years import years_apart

OLD = {"invoice_date": "1975-06-02", "due_date": "1975-07-02", "amount": "7.50"}


def of_years(*years):
    return [{"invoice_date": f"{y}-03-10", "due_date": f"{y}-04-09"} for y in years]


def told(ledger):
    findings = ledger.quality.findings.set_index("finding")
    if "years_apart" not in findings.index:
        return None
    return int(findings.at["years_apart", "rows"]), findings.at["years_apart", "amount"]


def test_an_ancient_invoice_is_a_finding_with_its_money_and_its_year(book, tmp_path):
    rows = book(*of_years(2023, 2023, 2024), OLD)
    ledger = open_ledger(rows)
    assert told(ledger) == (1, Decimal("7.50"))
    assert "years that stand apart from the others: 1975" in ledger.quality.notes
    assert told(ledger.on("2024-12-31")) == told(ledger)
    rows.to_parquet(tmp_path / "book.parquet")
    assert told(open_ledger(tmp_path / "book.parquet")) == told(ledger)


@pytest.mark.parametrize(
    "years",
    [
        (2014, 2023, 2024),  # ten years are an old book
        tuple(range(1990, 2025)),
        tuple(range(1990, 2025, 2)),
        (2024,),
    ],
)
def test_a_book_without_more_empty_years_than_others_has_no_such_finding(book, years):
    ledger = open_ledger(book(*of_years(*years)))
    assert told(ledger) is None
    assert not any("stand apart" in note for note in ledger.quality.notes)


def test_a_rejected_row_of_another_year_is_no_finding(book):
    assert told(open_ledger(book(*of_years(2024), OLD | {"amount": "-1"}))) is None


def test_the_years_of_the_most_invoices_are_the_book_wherever_they_are():
    assert years_apart({1990: 400, 1991: 300, 2024: 2}) == [2024]
    assert years_apart({1975: 1, 1999: 2, 2023: 40, 2024: 60}) == [1975, 1999]


@settings(max_examples=200)
@given(st.dictionaries(st.integers(1970, 2030), st.integers(1, 9), min_size=1))
def test_years_stand_apart_only_by_empty_years_and_never_all_of_them(rows):
    apart = years_apart(rows)
    book = sorted(set(rows) - set(apart))
    span = max(rows) - min(rows) + 1
    assert book
    if apart:
        assert len(rows) < span / 2
        assert book == list(range(book[0], book[-1] + 1))
        assert not {book[0] - 1, book[-1] + 1} & set(rows)
    else:
        assert len(rows) >= span / 2 or len(book) == book[-1] - book[0] + 1


@pytest.mark.parametrize("updatable", [False, True])
def test_a_panel_says_how_many_of_its_periods_are_empty_and_where(book, updatable):
    rows = book(*of_years(2022, 2023, 2024), OLD)
    rule = cp.ReturnRule(0.25)
    ledger = open_ledger(rows, as_of="2024-12-31")
    panel = cp.ReturnPanel.from_ledger(ledger, rule, "year", maturity_days=0)
    assert len(panel) == 50
    assert panel.notes[0].startswith(
        "46 of the 50 periods have no sale at all, 46 of them between 1975 and 2022: is the date "
        "right of the 1 invoices before that gap"
    )
    if updatable:
        early = cp.ReturnPanel.from_ledger(
            ledger.on("2023-12-31"), rule, "year", maturity_days=0, updatable=True
        )
        assert early.updated(ledger).notes == panel.notes
    recent = open_ledger(rows.iloc[:3], as_of="2024-12-31")
    whole = cp.ReturnPanel.from_ledger(recent, rule, "year", maturity_days=0)
    assert not any("no sale" in note for note in whole.notes)


def test_invoices_after_a_gap_are_named_where_they_are_the_fewer(book):
    rows = book(*of_years(2000, 2001, 2002, 2024))
    ledger = open_ledger(rows, as_of="2024-12-31")
    panel = cp.ReturnPanel.from_ledger(ledger, cp.ReturnRule(0.25), "year", maturity_days=0)
    assert "right of the 1 invoices after that gap" in panel.notes[0]
