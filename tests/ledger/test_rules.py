"""Each rule that a row can break, and the record of it."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from credit_portfolio.errors import DataError
from credit_portfolio.ledger.quality import RULES
from credit_portfolio.ledger.source import open_ledger

BROKEN = [
    ("missing_customer_id", {"customer_id": ""}, "customer_id is blank"),
    ("missing_customer_id", {"customer_id": "   "}, "blank"),
    ("missing_invoice_id", {"invoice_id": ""}, "invoice_id is blank"),
    ("unreadable_invoice_date", {"invoice_date": ""}, "(blank)"),
    ("unreadable_invoice_date", {"invoice_date": "2024-02-30"}, "'2024-02-30'"),
    ("unreadable_invoice_date", {"invoice_date": "01/02/2024"}, "'01/02/2024'"),
    ("unreadable_invoice_date", {"invoice_date": "24-01-10"}, "'24-01-10'"),
    ("unreadable_invoice_date", {"invoice_date": "2024-01-10 14:30:00"}, "14:30"),
    ("unreadable_due_date", {"due_date": "net 30"}, "'net 30'"),
    ("unreadable_due_date", {"due_date": None}, "(blank)"),
    ("unreadable_settled_date", {"settled_date": "soon"}, "'soon'"),
    ("implausible_date", {"invoice_date": "1969-12-31"}, "invoice_date '1969-12-31'"),
    ("implausible_date", {"settled_date": "2203-01-10"}, "settled_date '2203-01-10'"),
    ("implausible_date", {"due_date": "2030-07-01"}, "due_date '2030-07-01'"),
    ("implausible_date", {"settled_date": "9999-12-31"}, "five years after today"),
    ("amount_not_a_number", {"amount": "abc"}, "amount 'abc' is not a number"),
    ("amount_not_a_number", {"amount": ""}, "(blank)"),
    ("amount_not_a_number", {"amount": "nan"}, "'nan'"),
    ("amount_not_a_number", {"amount": "inf"}, "'inf'"),
    ("amount_not_a_number", {"amount": "-Infinity"}, "'-Infinity'"),
    ("amount_not_a_number", {"amount": "1e3"}, "'1e3'"),
    ("amount_not_a_number", {"amount": "1,2,3"}, "'1,2,3'"),
    ("amount_not_a_number", {"amount": "EUR 5"}, "'EUR 5'"),
    ("amount_not_a_number", {"amount": "5-"}, "'5-'"),
    ("amount_not_a_number", {"amount": "12,50"}, "'12,50'"),
    ("amount_not_a_number", {"amount": "1,234"}, "'1,234' could be 1.234 or 1234; pass decimal="),
    ("amount_not_positive", {"amount": "-5.00"}, "'-5.00' is not above zero"),
    ("amount_not_positive", {"amount": "0"}, "'0'"),
    ("bad_settled_amount", {"settled_date": "2024-02-01", "settled_amount": "x"}, "'x'"),
    ("bad_settled_amount", {"settled_date": "2024-02-01", "settled_amount": "-1"}, "'-1'"),
    ("bad_settled_amount", {"settled_date": "2024-02-01", "settled_amount": "nan"}, "'nan'"),
    ("bad_written_off_amount", {"written_off_amount": "?"}, "'?'"),
    ("bad_written_off_amount", {"written_off_amount": "-0.01"}, "'-0.01'"),
    ("too_many_decimals", {"amount": "1.00001"}, "amount '1.00001'"),
    ("too_many_decimals", {"written_off_amount": "0.00005"}, "written_off_amount '0.00005'"),
    ("amount_too_large", {"amount": "100000000000000"}, "fourteen digits"),
    ("settled_amount_without_date", {"settled_amount": "10.00"}, "'10.00' has no settled_date"),
    (
        "settled_above_amount",
        {"settled_date": "2024-02-01", "settled_amount": "60", "written_off_amount": "40.01"},
        "together above amount '100.00'",
    ),
    ("settled_above_amount", {"written_off_amount": "100.01"}, "'100.01'"),
    ("due_before_invoiced", {"due_date": "2024-01-09"}, "'2024-01-09' is before"),
    ("settled_before_invoiced", {"settled_date": "2024-01-09"}, "is before invoice_date"),
    ("unknown_disputed_word", {"disputed": "perhaps"}, "'perhaps'"),
]


@pytest.mark.parametrize(("rule", "change", "words"), BROKEN)
def test_a_broken_row_is_kept_with_its_rule_and_reason(book, rule, change, words):
    quality = open_ledger(book({}, change, {})).quality
    assert (quality.rows_read, quality.rows_accepted, quality.rows_rejected) == (3, 2, 1)
    row = quality.rejected.iloc[0]
    assert row["row"] == 2
    assert row["rule"] == rule
    assert words in row["reason"]
    counted = quality.rules.set_index("rule")["rows"]
    assert counted[rule] == 1
    assert counted.sum() == 1
    for name, value in change.items():
        kept = row[name]
        assert (value is None and pd.isna(kept)) or kept == value
    assert quality.amount_read == quality.amount_accepted + quality.amount_rejected
    assert quality.amount_accepted == Decimal(200)


def test_every_rule_but_the_readers_own_is_tried_above_or_below():
    elsewhere = {"malformed_row", "other_currency", "identical_copy", "conflicting_copies"}
    assert {rule.name for rule in RULES} == {rule for rule, _, _ in BROKEN} | elsewhere
    assert all(rule.meaning.endswith(".") and rule.what_to_do.endswith(".") for rule in RULES)


def test_a_row_counts_under_the_first_rule_that_it_breaks(book):
    quality = open_ledger(book({}, {"customer_id": "", "amount": "x", "due_date": "?"})).quality
    assert list(quality.rejected["rule"]) == ["missing_customer_id"]


def test_readable_amounts_of_rejected_rows_are_added_up_and_the_others_counted(book):
    quality = open_ledger(
        book({}, {"amount": "-7.25"}, {"amount": "x"}, {"due_date": "", "amount": "3.0001"})
    ).quality
    assert quality.amount_rejected == Decimal("-4.2499")
    assert quality.amount_read == Decimal("95.7501")
    assert quality.rows_without_readable_amount == 1
    amounts = quality.rules.set_index("rule")["amount"]
    assert amounts["amount_not_positive"] == Decimal("-7.25")
    assert amounts["unreadable_due_date"] == Decimal("3.0001")


def test_of_identical_copies_the_first_is_kept(book):
    frame = book({}, {"invoice_id": "7"}, {"invoice_id": "7"}, {"invoice_id": "7"})
    ledger = open_ledger(frame)
    assert list(ledger.quality.rejected["row"]) == [3, 4]
    assert set(ledger.quality.rejected["rule"]) == {"identical_copy"}
    assert ledger.n_invoices == 2


@pytest.mark.parametrize(
    "change",
    [
        {"amount": "100.01"},
        {"customer_id": "C2"},
        {"region": "south"},
        {"region": None},
        {"settled_date": "2024-02-01"},
        {"disputed": "yes"},
    ],
)
def test_of_copies_that_differ_none_is_kept(book, change):
    frame = book({"invoice_id": "9"}, {"invoice_id": "7"}, {"invoice_id": "7"} | change)
    quality = open_ledger(frame).quality
    assert list(quality.rejected["row"]) == [2, 3]
    assert set(quality.rejected["rule"]) == {"conflicting_copies"}


def test_copies_written_differently_but_meaning_the_same_are_identical(book):
    frame = book({"invoice_id": "7", "amount": "5"}, {"invoice_id": " 7 ", "amount": "5.00"})
    assert list(open_ledger(frame).quality.rejected["rule"]) == ["identical_copy"]


def test_a_copy_that_is_wrong_in_itself_leaves_the_sound_one(book):
    frame = book({"invoice_id": "7"}, {"invoice_id": "7", "amount": "x"})
    ledger = open_ledger(frame)
    assert ledger.n_invoices == 1
    assert list(ledger.quality.rejected["rule"]) == ["amount_not_a_number"]


def test_leading_zeros_part_two_invoices(book):
    assert open_ledger(book({"invoice_id": "007"}, {"invoice_id": "7"})).n_invoices == 2


def test_two_currencies_are_an_error_that_lists_each(book):
    frame = book({}, {"currency": "USD", "amount": "7.00"}, {"currency": "usd"})
    with pytest.raises(DataError, match=r"2 currencies \(EUR 1 rows 100.00; USD 2 rows 107.00\)"):
        open_ledger(frame)


def test_a_blank_currency_beside_another_is_a_second_currency(book):
    with pytest.raises(DataError, match=r"\(blank\) 1 rows 100.00; EUR 1 rows"):
        open_ledger(book({}, {"currency": ""}))


def test_currencies_are_never_added_up_not_even_among_rejected_rows(book):
    frame = book(
        {}, {"currency": "USD", "amount": "7"}, {"currency": "USD", "due_date": "", "amount": "9"}
    )
    ledger = open_ledger(frame, currency="eur")
    quality = ledger.quality
    assert ledger.currency == "EUR"
    assert list(quality.rejected["rule"]) == ["other_currency", "unreadable_due_date"]
    assert quality.amount_rejected == 0
    assert quality.amount_read == Decimal(100)
    assert quality.rows_without_readable_amount == 2


def test_a_currency_column_without_a_word_takes_the_label(book):
    ledger = open_ledger(book({"currency": ""}, {"currency": None}), currency="CHF")
    assert (ledger.currency, ledger.n_invoices) == ("CHF", 2)


def test_no_currency_at_all_is_said_to_be_unknown(book):
    ledger = open_ledger(book({}).drop(columns="currency"))
    assert ledger.currency == ""
    assert "currency unknown" in repr(ledger.quality)


def test_when_every_row_is_rejected_the_failures_come_with_the_error(book):
    with pytest.raises(
        DataError, match=r"none of the 2 rows.*amount 'x' is not a number"
    ) as caught:
        open_ledger(book({"amount": "x"}, {"amount": "y"}))
    assert list(caught.value.failures["row"]) == [1, 2]


def test_a_write_off_is_a_loss_and_never_paid(book):
    ledger = open_ledger(
        book(
            {"settled_date": "2024-03-01", "written_off_amount": "100"},
            {"settled_date": "2024-03-01", "written_off_amount": "30"},
            {"settled_date": "2024-03-01", "settled_amount": "50", "written_off_amount": "30"},
        )
    )
    frame = ledger.to_frame()
    assert list(frame["collected"]) == [Decimal(0), Decimal(70), Decimal(50)]
    assert list(frame["written_off"]) == [Decimal(100), Decimal(30), Decimal(30)]
    assert list(frame["open"]) == [Decimal(0), Decimal(0), Decimal(20)]


def test_an_undated_write_off_is_known_and_found(book):
    ledger = open_ledger(book({"written_off_amount": "40"}), as_of="2024-01-10")
    assert list(ledger.to_frame()["open"]) == [Decimal(60)]
    findings = ledger.quality.findings.set_index("finding")
    assert findings.loc["undated_write_off", "rows"] == 1
    assert findings.loc["undated_write_off", "amount"] == Decimal(40)


def test_a_settled_amount_of_zero_is_not_a_blank(book):
    frame = book({"settled_date": "2024-03-01", "settled_amount": "0"})
    ledger = open_ledger(frame)
    assert list(ledger.to_frame()["open"]) == [Decimal(100)]
    assert "settled_in_full_assumed" not in set(ledger.quality.findings["finding"])


def test_blanks_that_count_as_settled_in_full_are_found(book):
    findings = open_ledger(book({"settled_date": "2024-03-01"}, {})).quality.findings
    line = findings.set_index("finding").loc["settled_in_full_assumed"]
    assert (line["rows"], line["amount"]) == (1, Decimal(100))


def test_space_round_an_id_is_cut_and_found(book):
    ledger = open_ledger(book({"customer_id": " C1\t"}, {"customer_id": "C1"}))
    assert ledger.n_customers == 1
    assert list(ledger.quality.findings["finding"]) == ["trimmed_ids"]


def test_binary_floats_are_rounded_to_four_decimals_and_found(book):
    frame = book({}, {}).assign(amount=[0.1 + 0.2, 1.00006])
    quality = open_ledger(frame).quality
    assert quality.amount_accepted == Decimal("1.3001")
    assert quality.findings.set_index("finding").loc["rounded_floats", "rows"] == 2


def test_floats_that_are_no_money_are_rejected(book):
    frame = book({}, {}, {}, {}).assign(amount=[1.0, np.nan, np.inf, 1e17])
    quality = open_ledger(frame).quality
    expected = ["amount_not_a_number", "amount_not_a_number", "amount_too_large"]
    assert list(quality.rejected["rule"]) == expected


def test_nothing_after_as_of_is_used(book):
    frame = book(
        {"settled_date": "2024-02-01", "settled_amount": "50", "written_off_amount": "50"},
        {"invoice_date": "2024-02-01", "amount": "7.77"},
    )
    before = open_ledger(frame, as_of="2024-01-31")
    row = before.to_frame().iloc[0]
    assert before.n_invoices == 1
    assert (row["collected"], row["written_off"], row["open"]) == (0, 0, 100)
    assert pd.isna(row["settled_date"])
    assert before.quality.rows_accepted == 2
    assert before.quality.rows_after_as_of == 1
    assert before.quality.amount_after_as_of == Decimal("7.77")
    on_the_day = open_ledger(frame, as_of="2024-02-01")
    row = on_the_day.to_frame().iloc[0]
    assert (row["collected"], row["written_off"], row["open"]) == (50, 50, 0)
    assert row["settled_date"] == pd.Timestamp("2024-02-01")


def test_as_of_is_the_latest_date_known_when_left_out(book):
    frame = book({"invoice_date": "2024-02-01"}, {"settled_date": "2024-03-05"})
    assert open_ledger(frame).as_of == datetime.date(2024, 3, 5)
    assert open_ledger(frame.drop(columns="settled_date")).as_of == datetime.date(2024, 2, 1)


def test_one_mistyped_date_does_not_move_the_default_day(book, fixed_today):
    frame = book({}, {"settled_date": "2024-03-05"}, {"settled_date": "2203-03-05"})
    assert open_ledger(frame).as_of == datetime.date(2024, 3, 5)
    frame = book({}, {"settled_date": "2024-03-05"}, {"invoice_date": "2026-03-05"})
    frame.loc[2, "due_date"] = "2026-04-05"
    ledger = open_ledger(frame)
    assert ledger.as_of == datetime.date(2024, 3, 5)
    assert ledger.n_invoices == 2
    line = ledger.quality.findings.set_index("finding").loc["dated_after_today"]
    assert (line["rows"], line["amount"]) == (1, Decimal(100))
    assert ledger.quality.rows_after_as_of == 1


def test_a_settlement_after_today_has_not_happened_by_default(book):
    ledger = open_ledger(book({}, {"settled_date": "2025-07-01", "amount": "7.00"}))
    assert ledger.as_of == datetime.date(2024, 1, 10)
    assert ledger.exposure().sum() == 107
    findings = ledger.quality.findings.set_index("finding")
    assert findings.loc["dated_after_today", "amount"] == Decimal(7)


def test_a_date_of_today_counts_and_is_no_finding(book, fixed_today):
    ledger = open_ledger(book({"settled_date": fixed_today.isoformat()}))
    assert ledger.as_of == fixed_today
    assert "dated_after_today" not in set(ledger.quality.findings["finding"])


def test_today_does_not_matter_once_every_date_is_past(book, monkeypatch):
    frame = book({}, {"settled_date": "2024-03-05"})
    for today in (datetime.date(2024, 3, 5), datetime.date(2033, 1, 1)):
        monkeypatch.setattr("credit_portfolio.ledger.source.today", lambda day=today: day)
        ledger = open_ledger(frame)
        assert ledger.as_of == datetime.date(2024, 3, 5)
        assert ledger.quality.rows_rejected == 0


def test_a_day_that_is_asked_for_may_be_in_the_future(book):
    ledger = open_ledger(book({"settled_date": "2025-08-01"}), as_of="2025-09-01")
    assert ledger.as_of == datetime.date(2025, 9, 1)
    assert ledger.n_open == 0


def test_a_book_of_the_future_only_is_an_error(book):
    frame = book({"invoice_date": "2025-07-01", "due_date": "2025-08-01"})
    with pytest.raises(DataError, match=r"dated after today, 2025-06-30, the first on 2025-07-01"):
        open_ledger(frame)
    assert open_ledger(frame, as_of="2025-07-01").n_open == 1


def test_the_quality_page_says_the_day(book):
    quality = open_ledger(book({}), as_of="2024-02-01").quality
    assert quality.as_of == datetime.date(2024, 2, 1)
    assert str(quality).splitlines()[0].endswith("as known on 2024-02-01")
    assert "as known on 2024-02-01" in quality._repr_html_()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"amount": "1.234"}, "amount '1.234' could be 1.234 or 1234; pass decimal="),
        (
            {"settled_date": "2024-03-01", "settled_amount": "1.234"},
            "settled_amount '1.234' could be 1.234 or 1234",
        ),
        ({"written_off_amount": "1.234"}, "written_off_amount '1.234' could be 1.234 or 1234"),
    ],
)
def test_a_figure_that_fits_two_readings_is_said_to_do_so(book, change, words):
    frame = book({"amount": "5000,25"}, {"amount": "6000,50"}, {"amount": "7000,75"} | change)
    reasons = open_ledger(frame).quality.rejected["reason"]
    assert [words in reason for reason in reasons] == [True]


def test_as_of_before_the_first_invoice_is_an_error(book):
    with pytest.raises(
        DataError, match=r"as_of is 2024-01-09, and the first invoice .* 2024-01-10"
    ):
        open_ledger(book({}), as_of="2024-01-09")
    assert open_ledger(book({}), as_of="2024-01-10").n_open == 1
