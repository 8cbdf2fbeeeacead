"""The seventeen things that real ledgers get wrong: one small file each, and what becomes of it.

Each test ends with the line of the quality record that tells the defect, in rows and in money.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.ledger.examination import (
    EXAMINED,
    examine,
    exposures,
    first_complete_month,
    possible_copies,
)
from credit_portfolio.ledger.identities import look_alikes
from credit_portfolio.ledger.opening import open_entries
from credit_portfolio.ledger.profiles import Sides
from credit_portfolio.ledger.quality import REPAIR_RULES
from credit_portfolio.ledger.repairs import Repairs, Terms
from credit_portfolio.ledger.source import open_ledger

INVOICES = "customer_id,invoice_id,invoice_date,due_date,amount"
ENTRIES = "customer_id,document,against_document,kind,booking_date,due_date,amount"


@pytest.fixture
def invoices(csv_file):
    """Return a writer of a file with one row an invoice."""

    def write(rows, more=""):
        return csv_file("\n".join([INVOICES + more, *rows]) + "\n")

    return write


@pytest.fixture
def entries(csv_file):
    """Return a writer of a file with one row an entry."""

    def write(*rows):
        return csv_file("\n".join([ENTRIES, *rows]) + "\n", name="entries.csv")

    return write


def told(ledger, name):
    """Return the rows and the money that the quality record tells under a rule or a finding."""
    quality = ledger.quality
    counted = quality.rules.rename(columns={"rule": "name"})
    found = quality.findings.rename(columns={"finding": "name"})
    lines = pd.concat([counted, found]).set_index("name")
    assert name in lines.index, f"{name} is not among {list(found['name'])}"
    assert f"  {name} " in repr(quality)  # and a reader of the page sees it
    return int(lines.loc[name, "rows"]), Decimal(lines.loc[name, "amount"])


# --- 1: duplicates ------------------------------------------------------------------------------


def test_1_exact_copies_count_once_and_copies_that_differ_not_at_all(invoices):
    path = invoices(
        [
            "C1,1,2024-01-10,2024-02-09,100.00",
            "C1,1,2024-01-10,2024-02-09,100.00",
            "C1,2,2024-01-11,2024-02-09,70.00",
            "C1,2,2024-01-11,2024-02-09,71.00",
        ]
    )
    ledger = open_ledger(path)
    assert ledger.exposure().to_dict() == {"C1": 100.0}
    assert told(ledger, "identical_copy") == (1, Decimal(100))
    assert told(ledger, "conflicting_copies") == (2, Decimal(141))


def test_1_invoices_keyed_again_under_another_number_are_found_and_kept(invoices):
    path = invoices(
        [
            "C1,1001,2024-01-10,2024-02-09,100.00",
            "C1,1001A,2024-01-10,2024-02-09,100.00",
            "C1,1003,2024-01-10,2024-02-09,100.01",
            "C2,1004,2024-01-10,2024-02-09,100.00",
        ]
    )
    ledger = examine(open_ledger(path))
    assert told(ledger, "maybe_rekeyed") == (1, Decimal(100))
    assert possible_copies(ledger)["invoice_id"].tolist() == ["1001", "1001A"]
    assert ledger.exposure()["C1"] == 300.01  # nobody knows, so nothing is taken away


# --- 2: names and ids ---------------------------------------------------------------------------


def test_2_ids_that_differ_by_zeros_or_marks_are_found_and_merged_only_when_asked(invoices):
    rows = [
        "0200769623,1,2024-01-10,2024-02-09,100.00,WAL-MAR us",
        "200769623,2,2024-01-11,2024-02-09,50.00,WAL-MAR corp",
        "CCCA02,3,2024-01-12,2024-02-09,30.00,KRAFT F",
        "ccca-02,4,2024-01-12,2024-02-09,3.00,KRAFT F corp",
        "300,5,2024-01-12,2024-02-09,7.00,WAL MAR trust",
        "400,6,2024-01-12,2024-02-09,9.00,US FOODS",
    ]
    path = invoices(rows, ",name")
    ledger = examine(open_ledger(path), names="name")
    assert told(ledger, "similar_customer_ids") == (4, Decimal(183))
    assert told(ledger, "one_name_several_ids") == (5, Decimal(190))
    assert len(ledger.exposure()) == 6
    alike = look_alikes(ledger, names="name")
    assert alike[alike["alike"] == "wal mar"]["customer_id"].tolist() == [
        "0200769623",
        "200769623",
        "300",
    ]

    same = {"200769623": "0200769623", "ccca-02": "CCCA02"}
    merged = open_ledger(path, repairs=Repairs(same_customer=same))
    assert merged.exposure()[["0200769623", "CCCA02"]].tolist() == [150.0, 33.0]
    assert told(merged, "merged_customers") == (2, Decimal(53))


def test_2_subsidiaries_count_for_their_parent_when_asked(invoices):
    path = invoices(["SUB1,1,2024-01-10,2024-02-09,10.00", "SUB2,2,2024-01-10,2024-02-09,5.00"])
    ledger = open_ledger(path, repairs=Repairs(same_customer={"SUB1": "TOP", "SUB2": "TOP"}))
    assert ledger.exposure().to_dict() == {"TOP": 15.0}
    assert told(ledger, "merged_customers") == (2, Decimal(15))


def test_2_one_id_beside_several_names_is_found(invoices):
    rows = ["7,1,2024-01-10,2024-02-09,10.00,ALPHA corp", "7,2,2024-01-10,2024-02-09,5.00,BETA"]
    ledger = examine(open_ledger(invoices(rows, ",name")), names="name")
    assert told(ledger, "several_names_one_id") == (2, Decimal(15))


# --- 3: credit notes ----------------------------------------------------------------------------


def test_3_a_credit_note_among_invoices_is_rejected_and_is_no_payment(invoices):
    path = invoices(["C1,1,2024-01-10,2024-02-09,100.00", "C1,2,2024-01-12,2024-02-09,-30.00"])
    ledger = open_ledger(path)
    assert told(ledger, "amount_not_positive") == (1, Decimal(-30))
    assert ledger.quality.control_totals.loc["collected", "money"] == 0


def test_3_a_credit_note_among_entries_lowers_the_sale_and_is_no_payment(entries):
    path = entries(
        "C1,I1,,invoice,2024-01-10,2024-02-09,100.00",
        "C1,N1,I1,credit_note,2024-01-20,,-30.00",
    )
    ledger = open_entries(path)
    row = ledger.to_frame().iloc[0]
    assert (row["amount"], row["collected"], row["open"]) == (70, 0, 70)
    assert told(ledger, "credited") == (1, Decimal(30))


# --- 4: unapplied cash --------------------------------------------------------------------------


def test_4_unapplied_cash_is_shown_and_not_spread(entries):
    path = entries(
        "C1,I1,,invoice,2024-01-10,2024-02-09,100.00",
        "C1,P1,,payment_on_account,2024-01-20,,-60.00",
        "C1,N1,,credit_note,2024-01-21,,-5.00",
    )
    ledger = open_entries(path)
    assert ledger.exposure().to_dict() == {"C1": 100.0}
    assert told(ledger, "unapplied_cash") == (1, Decimal(60))
    assert told(ledger, "unapplied_credit") == (1, Decimal(5))


# --- 5: one payment, many invoices, and the reverse ---------------------------------------------


def test_5_a_payment_covers_several_invoices_and_an_invoice_takes_several_payments(entries):
    path = entries(
        "C1,I1,,invoice,2024-01-10,2024-02-09,100.00",
        "C1,I2,,invoice,2024-01-10,2024-02-09,50.00",
        "C1,P1,I1,payment,2024-01-20,,-40.00",
        "C1,P1,I2,payment,2024-01-20,,-50.00",
        "C1,P2,I1,payment,2024-01-25,,-35.00",
    )
    ledger = examine(open_entries(path))
    assert ledger.to_frame().set_index("invoice_id")["open"].to_dict() == {"I1": 25, "I2": 0}
    assert told(ledger, "payment_over_several_invoices") == (2, Decimal(90))
    assert told(ledger, "invoice_paid_in_parts") == (2, Decimal(75))


# --- 6: due dates -------------------------------------------------------------------------------

NO_DUE = [
    "C1,1,2024-01-31,,100.00,N30",
    "C1,2,2024-01-15,,50.00,EOM10",
    "C1,3,2024-01-15,,20.00,30EOM",
    "C1,4,2024-01-15,,7.00,Z999",
    "C1,5,2024-01-15,2024-01-14,3.00,N30",
    "C1,6,2024-01-15,2024-02-01,1.00,N30",
]


def test_6_a_due_date_that_is_missing_or_before_the_invoice_is_rejected(invoices):
    ledger = open_ledger(invoices(NO_DUE, ",terms"))
    assert told(ledger, "unreadable_due_date") == (4, Decimal(177))
    assert told(ledger, "due_before_invoiced") == (1, Decimal(3))


def test_6_terms_become_due_dates_by_a_rule_that_is_given(invoices):
    codes = {"N30": 30, "EOM10": Terms(10, "before"), "30EOM": Terms(30, "after")}
    repairs = Repairs(terms_column="terms", terms_codes=codes)
    ledger = open_ledger(invoices(NO_DUE, ",terms"), repairs=repairs)
    due = ledger.to_frame().set_index("invoice_id")["due_date"].dt.strftime("%Y-%m-%d").to_dict()
    assert due == {"1": "2024-03-01", "2": "2024-02-10", "3": "2024-02-29", "6": "2024-02-01"}
    assert told(ledger, "due_date_from_terms") == (3, Decimal(170))
    assert told(ledger, "unreadable_due_date") == (1, Decimal(7))  # nobody said what Z999 means
    assert told(ledger, "due_before_invoiced") == (1, Decimal(3))  # never mended in silence


def test_6_a_file_without_due_dates_opens_with_terms(csv_file):
    path = csv_file("customer_id,invoice_id,invoice_date,amount\nC1,1,2024-01-10,100.00\n")
    with pytest.raises(DataError, match="due_date"):
        open_ledger(path)
    ledger = open_ledger(path, repairs=Repairs(terms=14))
    assert str(ledger.to_frame()["due_date"][0].date()) == "2024-01-24"
    assert told(ledger, "due_date_from_terms") == (1, Decimal(100))


# --- 7: amounts without a sign ------------------------------------------------------------------

UNSIGNED = ["C1,1,2024-01-10,2024-02-09,100.00,S", "C1,2,2024-01-10,2024-02-09,30.00,H"]


def test_7_a_flag_for_debit_or_credit_is_asked_about_and_then_turns_the_sign(invoices):
    path = invoices([*UNSIGNED, "C1,3,2024-01-10,2024-02-09,7.00,?"], ",SHKZG")
    with pytest.raises(DataError, match=r"'SHKZG'.*Sides\('SHKZG'"):
        open_ledger(path)
    ledger = open_ledger(path, repairs=Repairs(sides=Sides("SHKZG", ("S",), ("H",))))
    assert ledger.exposure().to_dict() == {"C1": 100.0}
    assert told(ledger, "amount_not_positive") == (1, Decimal(-30))
    assert told(ledger, "unreadable_side") == (1, Decimal(7))


# --- 8: currencies ------------------------------------------------------------------------------

MIXED = [
    "C1,1,2024-01-05,2024-02-09,100.00,USD",
    "C1,2,2024-01-09,2024-02-09,100.00,USD",
    "C2,3,2024-01-09,2024-02-09,50.00,EUR",
]


def test_8_two_currencies_are_refused(invoices):
    with pytest.raises(DataError, match=r"2 currencies \(EUR 1 rows 50.00; USD 2 rows 200.00\)"):
        open_ledger(invoices(MIXED, ",currency"))


def test_8_currencies_are_converted_at_the_rate_of_the_invoice_date(invoices):
    rates = pd.DataFrame(
        {
            "currency": ["USD", "USD"],
            "date": ["2024-01-03", "2024-01-08"],
            "rate": ["0.90", "0.9250"],
        }
    )
    path = invoices(MIXED, ",currency")
    ledger = open_ledger(path, currency="EUR", repairs=Repairs(rates=rates))
    assert ledger.exposure().to_dict() == {"C1": 90.0 + 92.5, "C2": 50.0}
    assert ledger.currency == "EUR"
    assert told(ledger, "converted") == (2, Decimal("182.50"))


def test_8_a_rate_that_is_missing_or_stale_is_an_error_with_every_row(invoices):
    rates = pd.DataFrame({"currency": ["USD"], "date": ["2024-01-05"], "rate": [0.9]})
    path = invoices(MIXED, ",currency")
    stale = Repairs(rates=rates, max_rate_age_days=3)
    with pytest.raises(DataError, match=r"1 rows .* no rate of 'USD' for '2024-01-09'") as error:
        open_ledger(path, currency="EUR", repairs=stale)
    assert error.value.failures["invoice_id"].tolist() == ["2"]
    with pytest.raises(ModelError, match="pass currency='EUR'"):
        open_ledger(path, repairs=Repairs(rates=rates))


# --- 9: ageing that does not add up -------------------------------------------------------------


def test_9_the_ageing_adds_up_since_what_is_not_due_has_a_bucket(invoices):
    path = invoices(["C1,1,2024-01-10,2024-02-09,100.00", "C1,2,2024-01-10,2024-05-09,50.00"])
    ledger = examine(open_ledger(path, as_of="2024-03-01"))
    ageing = ledger.ageing(by=None, exact=True).iloc[0]
    assert ageing.drop("total").sum() == ageing["total"] == Decimal(150)
    assert told(ledger, "not_yet_due") == (1, Decimal(50))
    assert told(ledger, "past_due") == (1, Decimal(100))


# --- 10: reversals and re-bills -----------------------------------------------------------------


def test_10_a_reversal_undoes_the_invoice_and_a_re_bill_counts_once(entries):
    path = entries(
        "C1,I1,,invoice,2024-01-10,2024-02-09,100.00",
        "C1,R1,I1,reversal,2024-01-15,,",
        "C1,I2,,invoice,2024-01-15,2024-02-14,90.00",
    )
    ledger = examine(open_entries(path))
    assert ledger.exposure().to_dict() == {"C1": 90.0}
    assert ledger.on("2024-01-12").exposure().to_dict() == {"C1": 100.0}
    assert told(ledger, "undone_by_reversal") == (1, Decimal(100))


def test_10_a_re_bill_without_a_reversal_is_found(invoices):
    path = invoices(["C1,1,2024-01-10,2024-02-09,80.00", "C1,1-R,2024-01-10,2024-02-09,80.00"])
    assert told(examine(open_ledger(path)), "maybe_rekeyed") == (1, Decimal(80))


# --- 11: a write-off posted as a clearing -------------------------------------------------------


def test_11_a_system_that_cannot_tell_a_write_off_must_be_told(entries):
    with pytest.raises(ModelError, match="cannot tell a write-off from a payment"):
        open_entries(entries("C1,I1,,invoice,2024-01-10,2024-02-09,1.00"), profile="sap")


def test_11_settled_without_an_amount_is_told_and_long_after_due_looks_like_a_loss(invoices):
    rows = [
        "C1,1,2023-01-10,2023-02-09,100.00,2023-12-31",  # at the year's end, 325 days late
        "C1,2,2023-01-10,2023-02-09,40.00,2023-03-09",
    ]
    ledger = examine(open_ledger(invoices(rows, ",settled_date")))
    assert told(ledger, "settled_in_full_assumed") == (2, Decimal(140))
    assert told(ledger, "settled_in_full_long_after_due") == (1, Decimal(100))


# --- 12: netting with payables ------------------------------------------------------------------


def test_12_what_is_netted_with_payables_is_listed_when_told(invoices):
    rows = [
        "C1,1,2024-01-10,2024-02-09,100.00,2024-02-01,AB",
        "C1,2,2024-01-10,2024-02-09,40.00,2024-02-01,DZ",
        "C1,3,2024-01-10,2024-02-09,9.00,,AB",  # open, so nothing is netted yet
    ]
    path = invoices(rows, ",settled_date,clearing_type")
    ledger = open_ledger(path, repairs=Repairs(netted={"clearing_type": ("AB",)}))
    assert ledger.quality.control_totals.loc["collected", "money"] == 140
    assert told(ledger, "netted_with_payables") == (1, Decimal(100))


# --- 13: down payments and bills of exchange ----------------------------------------------------


def test_13_down_payments_and_bills_are_set_apart(invoices):
    rows = [
        "C1,1,2024-01-10,2024-02-09,100.00,",
        "C1,2,2024-01-10,2024-02-09,500.00,W",
        "C1,3,2024-01-10,2024-02-09,60.00,A",
    ]
    path = invoices(rows, ",UMSKZ")
    with pytest.raises(DataError, match="bills of exchange"):
        open_ledger(path)
    ledger = open_ledger(path, repairs=Repairs(set_apart={"UMSKZ": ("A", "W")}))
    assert ledger.exposure().to_dict() == {"C1": 100.0}
    assert told(ledger, "set_apart") == (2, Decimal(560))
    none = open_ledger(path, repairs=Repairs(set_apart={"UMSKZ": ()}))
    assert none.exposure().to_dict() == {"C1": 660.0}


# --- 14: settled before invoiced ----------------------------------------------------------------


def test_14_a_settlement_before_the_invoice_is_rejected(invoices):
    rows = ["C1,1,2024-01-10,2024-02-09,100.00,2024-01-09", "C1,2,2024-01-10,2024-02-09,5.00,"]
    ledger = open_ledger(invoices(rows, ",settled_date"))
    assert told(ledger, "settled_before_invoiced") == (1, Decimal(100))


# --- 15: cut off at both ends -------------------------------------------------------------------


def test_15_open_items_and_months_that_are_not_complete_are_told(invoices):
    rows = [
        "C1,1,2022-03-10,2022-04-09,11.00,",  # still open, so it is in an extract of 2024
        "C1,2,2023-12-10,2024-01-09,22.00,2024-01-15",
        "C1,3,2024-02-10,2024-03-09,33.00,2024-03-15",
        "C1,4,2024-03-10,2024-04-09,44.00,2024-09-15",  # not known yet on the day
        "C1,5,2024-09-10,2024-10-09,55.00,",  # nor is this
    ]
    ledger = examine(open_ledger(invoices(rows, ",settled_date"), as_of="2024-03-31"))
    assert str(first_complete_month(ledger)) == "2024-02-01"
    assert told(ledger, "before_first_complete_month") == (2, Decimal(33))
    assert told(ledger, "open_at_as_of") == (2, Decimal(55))
    assert told(ledger, "settled_after_as_of") == (1, Decimal(44))
    quality = ledger.quality
    assert (quality.rows_after_as_of, quality.amount_after_as_of) == (1, Decimal(55))


# --- 16: tax ------------------------------------------------------------------------------------

TAXED = [
    "C1,1,2024-01-10,2024-02-09,119.00,2024-02-01,100.00,V19",
    "C1,2,2024-01-10,2024-02-09,100.00,2024-02-01,100.00,V0",
    "C1,3,2024-01-10,2024-02-09,55.00,,,V7",
]
TAX_COLUMNS = ",settled_date,settled_amount,tax"


def test_16_paid_without_tax_is_found_when_the_rate_is_given(invoices):
    ledger = examine(open_ledger(invoices(TAXED, TAX_COLUMNS)), vat_rates=[0.19])
    assert told(ledger, "settled_without_tax") == (1, Decimal(19))


def test_16_tax_is_taken_off_by_code_and_an_unknown_code_is_rejected(invoices):
    path = invoices(TAXED, TAX_COLUMNS)
    ledger = open_ledger(path, repairs=Repairs(vat_column="tax", vat_codes={"V19": 0.19, "V0": 0}))
    assert ledger.to_frame()["amount"].tolist() == [100, 100]
    assert told(ledger, "taken_without_tax") == (1, Decimal(100))
    assert told(ledger, "unknown_tax_code") == (1, Decimal(55))


# --- 17: orders ---------------------------------------------------------------------------------


def test_17_orders_are_a_line_of_their_own_or_said_to_be_left_out(invoices):
    ledger = open_ledger(invoices(["C1,1,2024-01-10,2024-02-09,100.00"]))
    assert any("orders" in note for note in examine(ledger).quality.notes)
    orders = pd.Series({"C1": 25.5, "C9": 10})
    with_orders = examine(ledger, orders=orders)
    assert not any("orders" in note for note in with_orders.quality.notes)
    assert told(with_orders, "orders_beside_exposure") == (2, Decimal("35.5"))
    table = exposures(ledger, orders)
    assert table.loc["C1"].tolist() == [100.0, 0.0, 25.5, 125.5]
    assert table.loc["C9"].tolist() == [0.0, 0.0, 10.0, 10.0]


# --- and three that the list of the issue adds --------------------------------------------------


def test_disputed_invoices_are_told_and_can_be_held_out_of_everything(invoices):
    rows = ["C1,1,2024-01-10,2024-02-09,100.00,no", "C1,2,2024-01-10,2024-02-09,40.00,yes"]
    path = invoices(rows, ",disputed")
    assert told(examine(open_ledger(path)), "disputed") == (1, Decimal(40))
    ledger = open_ledger(path, repairs=Repairs(hold_out_disputed=True))
    assert ledger.exposure().to_dict() == {"C1": 100.0}
    assert told(ledger, "held_out_disputed") == (1, Decimal(40))
    quality = ledger.quality
    assert quality.amount_read == quality.amount_accepted + quality.amount_rejected == 140


def test_dates_of_two_formats_are_told_and_those_in_doubt_are_counted(invoices):
    path = invoices(
        [
            "C1,1,01/10/2024,02/09/2024,100.00",
            "C1,2,25/01/2024,26/02/2024,40.00",  # day before month: what is 01/10 then?
            "C1,3,01/31/2024,02/29/2024,7.00",
        ]
    )
    ledger = open_ledger(path, date_format="%m/%d/%Y")
    assert told(ledger, "unreadable_invoice_date") == (1, Decimal(40))
    assert told(ledger, "dates_in_doubt") == (1, Decimal(100))
    assert any("1 of 1 rejected ones fit '%d/%m/%Y'" in note for note in ledger.quality.notes)
    assert told(ledger.on("2024-02-01"), "dates_in_doubt") == (1, Decimal(100))


def test_dates_of_two_formats_that_share_no_text_are_told_and_none_is_in_doubt(invoices):
    path = invoices(["C1,1,2024-01-10,2024-02-09,1.00", "C1,2,12.01.2024,2024-02-09,2.00"])
    quality = open_ledger(path).quality
    assert any("fit '%d.%m.%Y', not '%Y-%m-%d'" in note for note in quality.notes)
    assert "dates_in_doubt" not in quality.findings["finding"].tolist()


# --- the page about them ------------------------------------------------------------------------

PAGE = Path(__file__).resolve().parents[2] / "docs" / "ledger_defects.md"


def test_the_page_names_every_line_that_the_record_can_have():
    text = PAGE.read_text(encoding="utf-8")
    names = [rule.name for rule in REPAIR_RULES if rule.name != "no_rate"]  # which is an error
    names += EXAMINED
    missing = [name for name in names if f"`{name}`" not in text]
    assert missing == []


def test_the_page_names_a_test_for_each_of_the_seventeen():
    own = Path(__file__).read_text(encoding="utf-8")
    named = re.findall(r"`(test_(\d+)_[a-z_]*)…`", PAGE.read_text(encoding="utf-8"))
    assert {int(number) for _, number in named} == set(range(1, 18))
    assert [start for start, _ in named if f"def {start}" not in own] == []
