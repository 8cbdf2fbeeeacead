"""What is mended in a ledger of entries is told, once a row of the source, with its money."""

from __future__ import annotations

import datetime
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from credit_portfolio.cli import tables
from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.ledger.entry_ledger import EntryLedger
from credit_portfolio.ledger.findings import ON_A_DAY, REPAIRS
from credit_portfolio.ledger.indicators import indicators
from credit_portfolio.ledger.opening import open_entries
from credit_portfolio.ledger.profiles import ENTRY_PROFILES
from credit_portfolio.ledger.repairs import Repairs
from credit_portfolio.report import tables as report_tables

DAYS = ("2024-01-10", "2024-02-29", "2025-06-30")
ENTRY = {
    "customer_id": "C1",
    "document": "",
    "line": "",
    "against_document": "",
    "kind": "invoice",
    "booking_date": "2024-01-02",
    "due_date": "2024-02-01",
    "amount": "100.00",
}


def entries(*rows: dict[str, object]) -> pd.DataFrame:
    """Return a frame of entries; each is an invoice of its own but for what is given."""
    filled = [ENTRY | {"document": f"D{k}"} | row for k, row in enumerate(rows, start=1)]
    return pd.DataFrame(filled, columns=list(ENTRY))


def told(ledger: EntryLedger) -> dict[str, tuple[int, Decimal]]:
    """Return rows and money of the repairs, which no day may change."""
    seen = []
    for one in (ledger, *map(ledger.on, DAYS)):
        frame = one.quality.findings
        frame = frame[frame["finding"].isin(list(REPAIRS))]
        assert list(frame["meaning"]) == [REPAIRS[name] for name in frame["finding"]]
        assert sorted(frame["finding"], key=list(REPAIRS).index) == list(frame["finding"])
        lines = zip(frame["finding"], frame["rows"], frame["amount"], strict=True)
        seen.append({name: (rows, money) for name, rows, money in lines})
    assert seen[1:] == seen[:1] * len(DAYS)
    return seen[0]


def test_a_tidy_source_has_no_findings():
    frame = entries({}, {"kind": "payment", "against_document": "D1", "amount": "-30.00"})
    assert open_entries(frame, as_of="2024-03-01").quality.findings.empty
    frame["amount"] = [100.0, -30.0]
    frame["booking_date"] = pd.to_datetime(frame["booking_date"])
    assert told(open_entries(frame, as_of="2024-03-01")) == {}


def test_space_around_any_id_is_told_once_a_row_and_that_of_blank_cells_is_none():
    payment = {"kind": "payment", "against_document": "D1", "amount": "-10.00"}
    frame = entries(
        {"against_document": "   ", "line": "\t"},  # blanks of a fixed width
        {"customer_id": " C1 ", "document": "D2\n", "amount": "7.00"},
        {"kind": " invoice ", "amount": "5.00"},  # a word is no id
        payment | {"against_document": " D1", "amount": "-1.00"},
        payment | {"line": "1 "},
        {"customer_id": " C1", "due_date": "never"},  # rejected: told by its rule
    )
    ledger = open_entries(frame, as_of="2024-03-01")
    assert list(ledger.quality.rejected["row"]) == [6]
    assert told(ledger) == {"trimmed_ids": (3, Decimal(7 - 1 - 10))}


def test_money_in_binary_floats_that_was_rounded_is_told():
    frame = entries({}, {}, {"due_date": None})
    frame["amount"] = [0.1 + 0.2, 12.5, 1 / 3]
    assert told(open_entries(frame, as_of="2024-03-01")) == {"rounded_floats": (1, Decimal("0.3"))}


def test_times_of_day_are_told_of_columns_and_of_text_and_midnight_is_none():
    frame = entries({}, {"amount": "7.00"}, {"amount": "5.00"})
    frame["booking_date"] = pd.to_datetime(["2024-01-02", "2024-01-02 23:59", "2024-01-02 00:00"],
                                           format="mixed")  # fmt: skip
    frame["due_date"] = ["2024-02-01", "2024-02-01 08:00", "2024-02-01 00:00"]
    formats = ("%Y-%m-%d", "%Y-%m-%d %H:%M")
    ledger = open_entries(frame, as_of="2024-03-01", date_format=formats)
    assert told(ledger) == {"time_of_day_dropped": (1, 7)}
    assert set(ledger.to_frame()["due_date"]) == {pd.Timestamp("2024-02-01")}


def test_a_due_date_that_cannot_be_read_is_told_where_nothing_is_due():
    payment = {"kind": "payment", "against_document": "D1", "amount": "-10.00"}
    frame = entries(
        {},
        payment | {"due_date": "soon"},
        payment | {"due_date": " ", "line": "2"},
        payment | {"due_date": None, "line": "3"},
        payment | {"due_date": "00/00", "line": "4", "amount": "-4.00"},
        {"due_date": "soon", "amount": "7.00"},  # rejected: told by its rule
        payment | {"due_date": "soon", "amount": "much"},  # rejected for another reason
    )
    ledger = open_entries(frame, as_of="2024-03-01")
    assert told(ledger) == {"ignored_due_date": (2, -14)}
    rules = ["unreadable_due_date", "amount_not_a_number"]
    assert list(ledger.quality.rejected["rule"]) == rules
    frame["due_date"] = pd.to_datetime(frame["due_date"], errors="coerce")
    assert told(open_entries(frame, as_of="2024-03-01")) == {}  # a typed date is a date, or blank


@pytest.mark.parametrize(("said", "rejected"), [("", 0), ("00000000", 0), ("31.02.2024", 1)])
def test_terms_fill_a_blank_due_date_and_never_one_that_cannot_be_read(said, rejected):
    row = {"KUNNR": "1", "BELNR": "11", "BSCHL": "01", "SHKZG": "S", "BUDAT": "20240105",
           "FAEDT": said, "ZFBDT": "20240105", "ZBD1T": "30", "DMBTR": "5.00", "AUGBL": "",
           "AUGDT": ""}  # fmt: skip
    frame = pd.DataFrame([row, row | {"BELNR": "12", "FAEDT": "20240301"}])
    ledger = open_entries(frame, "sap", "2024-06-30", write_offs="none")
    assert list(ledger.quality.rejected["rule"]) == ["unreadable_due_date"] * rejected
    due = dict(zip(ledger.to_frame()["invoice_id"], ledger.to_frame()["due_date"], strict=True))
    expected = {"0000000012": pd.Timestamp("2024-03-01")}
    assert due == (expected if rejected else expected | {"0000000011": pd.Timestamp("2024-02-04")})


def test_days_in_floats_as_pandas_makes_of_whole_numbers_and_blanks_are_read():
    row = {"KUNNR": "1", "BELNR": "11", "BSCHL": "01", "SHKZG": "S", "BUDAT": "20240105",
           "ZFBDT": "20240105", "ZBD1T": "30", "DMBTR": "5", "AUGBL": "", "AUGDT": ""}  # fmt: skip
    frame = pd.DataFrame([row, row | {"BELNR": "12"}, row | {"BELNR": "13"}])
    frame["FAEDT"] = [None, 0.0, 20240401.0]
    ledger = open_entries(frame, "sap", "2024-06-30", write_offs="none")
    assert told(ledger)["whole_numbers"] == (1, 5)
    due = ledger.to_frame().sort_values("invoice_id")["due_date"]
    assert [str(day.date()) for day in due] == ["2024-02-04", "2024-02-04", "2024-04-01"]


@pytest.mark.parametrize("name", ["due_date", "currency", "amount"])
def test_a_field_of_one_part_is_read_like_a_field_without_parts(name):
    frame = entries({"amount": "1.234,50"}, {"due_date": ""}, {"due_date": "31.02.2024"})
    frame["currency"] = ["EUR", "EUR", "USD"]
    base = ENTRY_PROFILES["entries"]
    ledgers = [
        open_entries(
            frame,
            replace(base, columns={**base.columns, name: parts}),
            "2024-03-01",
            currency="EUR",
            repairs=Repairs(terms=30),
        )
        for parts in (name, (name,))
    ]
    as_text, as_parts = [
        (one.to_frame().astype(str).to_dict(), one.quality.rejected.astype(str).to_dict())
        for one in ledgers
    ]
    assert as_text == as_parts
    assert told(ledgers[0]) == told(ledgers[1])


def test_entries_booked_after_today_are_told_and_do_not_set_the_day(fixed_today):
    ahead = (fixed_today + datetime.timedelta(days=1)).isoformat()
    payment = {"kind": "payment", "against_document": "D1", "amount": "-10.00"}
    frame = entries(
        {},
        payment | {"booking_date": "2024-02-15"},
        payment | {"booking_date": fixed_today.isoformat(), "line": "2"},
        payment | {"booking_date": ahead, "line": "3", "amount": "-4.00"},
        {"booking_date": ahead, "due_date": "2024-02-01"},  # rejected: due before
    )
    ledger = open_entries(frame)
    assert ledger.as_of == fixed_today
    assert told(ledger) == {"dated_after_today": (1, -4)}
    assert ledger.quality.rows_after_as_of == 1


SAP = """KUNNR;BELNR;BSCHL;SHKZG;BUDAT;ZFBDT;ZBD1T;DMBTR;AUGBL;AUGDT
0000000001;0000000011;01;S;20240105;20240105;30;1000.00;0000000090;20240130
0000000001;12;01;S;20240106;20240106;30;500.00;0000000090;20240130
0000000001;90;15;H;20240120;20240120;0;1600.00;90;20240130
0000000001;0000000013;01;S;20240110;20240110;30;70.00;0;00000000
0000000001;14;40;S;20240110;20240110;30;70.00;;
"""


def sap(tmp_path: Path, text: str = SAP) -> EntryLedger:
    path = tmp_path / "lines.csv"
    path.write_text(text)
    return open_entries(path, "sap", "2024-06-30", write_offs="none")


def test_a_row_that_becomes_several_entries_counts_once_with_its_own_money(tmp_path):
    ledger = sap(tmp_path)
    quality = ledger.quality
    # The payment is on account until it is cleared, then spread over two invoices, with 100 left.
    assert (quality.source_rows, quality.rows_read, quality.rows_rejected) == (5, 9, 1)
    assert told(ledger) == {"restored_zeros": (2, 500 - 1600)}


def test_a_clearing_after_today_is_told_though_the_payment_was_booked_before(tmp_path):
    text = SAP.replace("20240130", "20250701")
    assert told(sap(tmp_path, text))["dated_after_today"] == (1, -1600)


def test_an_invoice_and_its_settlement_in_one_row_are_one_row():
    rows = [
        ("200769623", 1930000001.0, "2019-01-01 10:00", "20190201.0", 100.123456, None, "1"),
        (" CCU02 ", 1930000002.0, "2019-01-02", "20190201", 50.5, "2025-11-03", "0.0"),
        ("0200769623", 1930000003.0, "2019-01-03", "2019-02-01 13:30:00", 70.0, "2019-02-05", "0"),
        (None, 1930000004.0, "2019-01-03 11:00", "20190201.0", 80.0, None, "1"),
    ]
    names = ("cust_number", "doc_id", "posting_date", "due_in_date", "total_open_amount",
             "clear_date", "isOpen")  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(names)).assign(invoice_currency="USD")
    frame["posting_date"] = pd.to_datetime(frame["posting_date"], format="mixed")
    ledger = open_entries(frame, "highradius", "2019-02-28", write_offs="none")
    assert told(ledger) == {
        "dated_after_today": (1, Decimal("50.5")),
        "rounded_floats": (1, Decimal("100.1235")),
        "trimmed_ids": (1, Decimal("50.5")),
        "restored_zeros": (1, Decimal("100.1235")),
        "whole_numbers": (3, Decimal("220.6235")),
        "time_of_day_dropped": (2, Decimal("170.1235")),
    }
    assert set(ledger.to_frame()["customer_id"]) == {"0200769623", "CCU02"}
    quality = ledger.quality
    assert (quality.source_rows, quality.rows_read, quality.rows_accepted) == (4, 6, 5)


def test_an_id_in_floats_that_is_no_whole_number_stays_what_it_is():
    profile = replace(ENTRY_PROFILES["entries"], whole=("document",))
    frame = entries({}, {}, {}, {})
    frame["document"] = [12.0, 12.5, 1e300, float("inf")]
    ledger = open_entries(frame, profile, "2024-03-01")
    documents = set(ledger.to_frame()["invoice_id"])
    assert {"12", "12.5"} < documents
    assert len(documents) == 4
    assert told(ledger) == {"whole_numbers": (1, 100)}


def test_the_second_table_tells_its_own():
    lines = pd.DataFrame(
        [
            ("1", "C1", "INV1", "2024-01-05", "2024-02-04", "300.00", "out_invoice"),
            ("2", "C1", "PAY1", "2024-01-20", "2024-01-20", "-300.00", "entry"),
        ],
        columns=["id", "partner_id", "move_name", "date", "date_maturity", "balance", "move_type"],
    )
    links = pd.DataFrame(
        {
            "credit_move_id": ["2", " 2", "9 "],  # the last names no row: rejected
            "debit_move_id": ["1", "1", "1"],
            "max_date": pd.to_datetime(["2024-01-25 17:00", "2024-01-26", "2024-01-27 17:00"],
                                       format="mixed"),
            "amount": [100.00001, 50.0, 1 / 3],
        }
    )  # fmt: skip
    ledger = open_entries(lines, "odoo", "2024-03-31", write_offs="none", links=links.iloc[[0, 2]])
    assert told(ledger) == {
        "rounded_floats_in_links": (1, 100),
        "time_of_day_dropped_in_links": (1, 100),
    }
    assert list(ledger.quality.rejected["rule"]) == ["unmatched_link"]
    ledger = open_entries(lines, "odoo", "2024-03-31", write_offs="none", links=links.iloc[[1]])
    assert told(ledger) == {"trimmed_ids_in_links": (1, 50)}
    assert ledger.exposure().to_dict() == {"C1": 250}


def test_what_was_asked_for_counts_accepted_rows_only_too():
    frame = entries(
        {"due_date": ""},
        {"due_date": "", "customer_id": "C2"},
        {"due_date": "", "customer_id": "C2", "amount": "-1.00"},  # rejected: wrong sign
    )
    repairs = Repairs(terms=30, same_customer={"C2": "C1"})
    ledger = open_entries(frame, as_of="2024-03-01", repairs=repairs)
    assert told(ledger) == {"due_date_from_terms": (2, 200), "merged_customers": (1, 100)}


def test_rows_of_the_source_and_entries_are_both_said(tmp_path, capsys, monkeypatch):
    ledger = sap(tmp_path, SAP + "0000000001;15;01;S;20240110;20240110;30\n")  # too short a line
    quality = ledger.quality
    assert quality.source_rows == len(SAP.splitlines()) - 1 + 1
    assert quality.rows_read == quality.rows_accepted + quality.rows_rejected == 10
    assert quality.amount_read == quality.amount_accepted + quality.amount_rejected
    assert "2 of 10 entries rejected" in repr(ledger)
    page = " ".join(repr(quality).split())
    assert "entries and currency unknown rows of the source 6 read 10" in page
    assert "<td style='text-align:left'>rows of the source</td><td>6</td>" in quality._repr_html_()
    monkeypatch.setenv("COLUMNS", "100")
    tables.show_quality(ledger)
    page = " ".join(capsys.readouterr().out.split())
    assert "entries money" in page
    assert "rows of the source 6 read 10" in page
    totals = report_tables.quality_tables(quality)[0]
    assert totals.caption.startswith("6 rows of the source became entries")


def test_a_source_of_one_row_an_entry_counts_rows():
    ledger = open_entries(entries({}, {"due_date": ""}), as_of="2024-03-01")
    assert ledger.quality.source_rows == ledger.quality.rows_read == 2
    assert "1 of 2 rows rejected" in repr(ledger)
    assert "rows of the source" not in repr(ledger.quality) + ledger.quality._repr_html_()


def test_the_page_lists_every_finding():
    page = Path(__file__).parents[2] / "docs" / "ledger_entries.md"
    text = page.read_text(encoding="utf-8")
    for name in {**REPAIRS, **ON_A_DAY}:
        assert f"`{name.removesuffix('_in_links')}`" in text, name


def test_a_day_before_the_first_invoice_is_no_day_of_the_book() -> None:
    rows = pd.DataFrame(
        [
            ("C1", "P1", "", "payment_on_account", "2024-01-01", "", "-5.00"),
            ("C1", "I1", "", "invoice", "2024-01-10", "2024-02-09", "5.00"),
            ("C1", "N1", "I1", "credit_note", "2024-01-10", "", "-5.00"),
        ],
        columns=[
            "customer_id",
            "document",
            "against_document",
            "kind",
            "booking_date",
            "due_date",
            "amount",
        ],
    )
    ledger = open_entries(rows, as_of="2024-03-31")
    assert ledger.on("2024-01-10").n_invoices == 0  # all of it is credited
    with pytest.raises(DataError, match=r"as_of is 2024-01-09, and the first .* 2024-01-10"):
        ledger.on("2024-01-09")


# --- groups that are called like the ledger's own columns ---------------------------------------

OWN = ("kind", "document", "line", "booking_date", "against_document", "end_date", "row", "rule",
       "source_row", "said_settled", "fault", "void_from", "named", "day", "g0", "g1", "c0", "part",
       "key", "billed", "mark_trimmed_ids", "due_blank", "item", "clearing")  # fmt: skip


def test_entries_are_grouped_by_columns_called_like_those_of_entries():
    payment = {"kind": "payment", "against_document": "D1", "amount": "-30.00"}
    frame = entries({"customer_id": " C1"}, payment | {"document": "P1"}, {"amount": "50.00"})
    for name in set(OWN) - set(ENTRY):
        frame[name] = "" if name == "end_date" else f"it is {name}"
    repairs = Repairs(terms=30)
    ledger = open_entries(frame, as_of="2024-03-01", groups=OWN, repairs=repairs)
    for one in (ledger, ledger.on("2024-01-10"), ledger.on("2024-04-30")):
        frame_of_day = one.to_frame()
        assert list(frame_of_day.columns[-len(OWN) :]) == list(OWN)
        assert set(frame_of_day["kind"]) == {"invoice"}
        assert set(frame_of_day["row"]) == {"it is row"}
        assert list(frame_of_day["document"]) == list(frame_of_day["invoice_id"])
    for name in OWN:
        assert ledger.ageing(name)["total"].sum() == 120
        assert indicators(ledger, by=name)["open"].sum() == 120


def test_a_group_that_is_named_twice_is_one():
    ledger = open_entries(entries({}), as_of="2024-03-01", groups=["kind", "line", "kind"])
    assert ledger.groups == tuple(ledger.to_frame().columns[-2:]) == ("kind", "line")


@pytest.mark.parametrize("name", ["amount", "open", "credited", "discount", "customer_id"])
def test_a_group_called_like_a_column_of_the_invoices_is_refused(name):
    frame = entries({}).assign(open="", credited="", discount="")
    with pytest.raises(ModelError, match=f"groups names '{name}', which the ledger needs"):
        open_entries(frame, as_of="2024-03-01", groups=[name])


# --- ids in binary floats -----------------------------------------------------------------------

IN_SAP = {"document": "BELNR", "line": "BUZEI", "against_document": "REBZG", "undoes": "STBLG",
          "clearing": "AUGBL", "customer_id": "KUNNR"}  # fmt: skip


@pytest.mark.parametrize(("name", "column"), IN_SAP.items())
def test_any_id_in_floats_is_refused_but_where_nothing_is_there(name, column):
    row = {"KUNNR": "1", "BELNR": "11", "BUZEI": "1", "BSCHL": "01", "SHKZG": "S",
           "BUDAT": "20240105", "FAEDT": "20240204", "DMBTR": "5.00", "REBZG": "", "STBLG": "",
           "AUGBL": "", "AUGDT": ""}  # fmt: skip
    frame = pd.DataFrame([row, row | {"BELNR": "12"}]).assign(**{column: [1800000001.0, None]})
    with pytest.raises(DataError, match=rf"{name} \(column '{column}' of the DataFrame\) has type"):
        open_entries(frame, "sap", "2024-06-30", write_offs="none")
    if not row[column]:
        blank = frame.assign(**{column: [float("nan")] * 2})
        ledger = open_entries(blank, "sap", "2024-06-30", write_offs="none")
        assert ledger.exposure().to_dict() == {"0000000001": 10}
