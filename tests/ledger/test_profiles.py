"""Small files in each system's shape, written for these tests, read as the same kind of book."""

from __future__ import annotations

import datetime
import random
from dataclasses import FrozenInstanceError, replace
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.ledger.entry_ledger import EntryLedger
from credit_portfolio.ledger.opening import open_entries
from credit_portfolio.ledger.profiles import (
    ENTRY_PROFILES,
    EntryProfile,
    KindRule,
    settlement_profile,
)
from credit_portfolio.returns.panel import ReturnPanel
from credit_portfolio.returns.rule import ReturnRule

MONEY = ("amount", "collected", "discount", "written_off", "open", "credited")


def text_file(tmp_path: Path, text: str, name: str = "extract.csv") -> Path:
    path = tmp_path / name
    path.write_text("\n".join(line.strip() for line in text.strip().splitlines()) + "\n")
    return path


def figures(ledger: EntryLedger, as_of: str | None = None) -> dict[str, dict[str, object]]:
    """Return money that is not zero, and the settled day, of each invoice."""
    frame = (ledger if as_of is None else ledger.on(as_of)).to_frame()
    found = {}
    for r in frame.to_dict("records"):
        line = {name: float(r[name]) for name in MONEY if r[name]}
        if not pd.isna(r["settled_date"]):
            line["settled"] = r["settled_date"].date().isoformat()
        found[r["invoice_id"]] = line
    return found


def refused(ledger: EntryLedger) -> list[tuple[int, str]]:
    rejected = ledger.quality.rejected
    return list(zip(rejected["row"], rejected["rule"], strict=True))


def adds_up(ledger: EntryLedger) -> bool:
    """Whether accepted + rejected = read, in rows and money, and the parts are the amount."""
    q = ledger.quality
    totals = q.control_totals["money"]
    return (
        q.rows_read == q.rows_accepted + q.rows_rejected
        and q.rows_rejected == len(q.rejected) == q.rules["rows"].sum()
        and q.amount_read == q.amount_accepted + q.amount_rejected
        and totals["amount"] == totals[["collected", "discount", "written_off", "open"]].sum()
    )


# --- what cannot be told is asked ---------------------------------------------------------------

BLIND = [name for name, profile in ENTRY_PROFILES.items() if not profile.tells_write_offs]


def test_systems_whose_rows_do_not_tell_write_offs_are_known():
    assert BLIND == ["sap", "sap_document_currency", "erpnext", "odoo", "highradius"]


@pytest.mark.parametrize("name", BLIND)
def test_a_profile_that_cannot_tell_a_write_off_from_a_payment_asks(name):
    with pytest.raises(ModelError, match="cannot tell a write-off from a payment") as caught:
        open_entries(pd.DataFrame(), profile=name)
    assert "write_offs={'" in str(caught.value)
    assert "write_offs='none'" in str(caught.value)


def test_a_profile_that_can_tell_takes_no_second_opinion():
    with pytest.raises(ModelError, match="tells write-offs by itself"):
        open_entries(pd.DataFrame(), write_offs="none")


@pytest.mark.parametrize("wrong", ["all", {}, {"RSTGR": ()}])
def test_an_answer_that_tells_nothing_is_refused(wrong):
    with pytest.raises(ModelError, match="write_offs"):
        open_entries(pd.DataFrame(), profile="sap", write_offs=wrong)


def test_profiles_are_frozen_and_checked():
    sap = ENTRY_PROFILES["sap"]
    with pytest.raises(FrozenInstanceError):
        sap.name = "other"
    with pytest.raises(TypeError):
        sap.pad["KUNNR"] = 3
    with pytest.raises(ModelError, match="Did you mean 'payment'"):
        KindRule("paymnt")
    with pytest.raises(TypeError, match="in a tuple"):
        KindRule("payment", {"BSCHL": "15"})
    with pytest.raises(ModelError, match="Did you mean 'document'"):
        replace(sap, columns=dict(sap.columns) | {"dokument": "BELNR"})
    for nothing in ((), "", ("a", "")):
        with pytest.raises(ModelError, match="gives no source column for 'due_date'; expected a"):
            replace(sap, columns={**sap.columns, "due_date": nothing})
    with pytest.raises(ModelError, match="no source column for 'clearing_date'"):
        replace(sap, columns={k: v for k, v in sap.columns.items() if k != "clearing_date"})
    with pytest.raises(ModelError, match="matching 'clear'"):
        replace(sap, matching="clear")
    with pytest.raises(ModelError, match="Did you mean 'erpnext'"):
        open_entries(pd.DataFrame(), profile="erpnex")


# --- SAP ----------------------------------------------------------------------------------------

SAP = """
    KUNNR;BELNR;BUZEI;BLART;BSCHL;SHKZG;UMSKZ;BUDAT;ZFBDT;ZBD1T;DMBTR;SKNTO;AUGBL;AUGDT;REBZG;STBLG;RSTGR
    0000010001;1800000001;1;DR;1;S;;20240105;20240105;30;1000.00;;1400000001;20240130;;;
    10001;1800000002;1;DR;1;S;;20240108;20240108;60;500.00;;1400000001;20240130;;;
    10001;1400000001;1;DZ;15;H;;20240130;20240130;0;1500.00;20.00;1400000001;20240130;;;
    10001;1800000003;1;DR;1;S;;20240201;20240201;30;800.00;;;00000000;;;
    10001;1400000002;1;DZ;15;H;;20240215;20240215;0;300.00;;;00000000;1800000003;;
    10001;1600000001;1;DG;11;H;;20240210;20240210;0;100.00;;;00000000;1800000003;;
    10001;1600000002;1;DG;11;H;;20240211;20240211;0;40.00;;;00000000;1800000003;;
    10001;1700000001;1;DG;2;S;;20240220;20240220;0;40.00;;;00000000;;1600000002;
    10002;1400000003;1;DZ;15;H;;20240216;20240216;0;50.00;;;00000000;V;;
    10002;1400000004;1;DZ;19;H;A;20240217;20240217;0;200.00;;;00000000;;;
    10002;1800000004;1;DR;1;S;;20240101;20240101;30;400.00;;0100000009;20240601;;;
    10002;100000009;1;AB;15;H;;20240601;20240601;0;400.00;;100000009;20240601;;;WOF
    10002;1800000005;1;DR;1;S;;20240110;20240110;30;70.00;;1400000005;20240220;;;
    10002;1400000005;1;DZ;15;H;;20240115;20240115;0;70.00;;1400000005;20240220;;;
    10002;1800000006;1;DA;9;S;W;20240301;20240301;90;900.00;;;00000000;;;
    10002;1800000007;1;DR;1;X;;20240301;20240301;30;5.00;;;00000000;;;
"""


def sap(tmp_path, **more) -> EntryLedger:
    told = {"write_offs": {"RSTGR": ("WOF",)}, "as_of": "2024-06-30"} | more
    return open_entries(text_file(tmp_path, SAP), profile="sap", **told)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory) -> EntryLedger:
    """The SAP extract, opened once: nothing changes a ledger."""
    return sap(tmp_path_factory.mktemp("sap"))


def test_sap_lines_become_a_book(ledger):
    assert figures(ledger) == {
        "1800000001": {"amount": 1000, "collected": 1000, "settled": "2024-01-30"},
        # Paid with 1,480 and 20 of discount, which lies with what is due last.
        "1800000002": {"amount": 500, "collected": 480, "discount": 20, "settled": "2024-01-30"},
        "1800000003": {"amount": 700, "collected": 300, "open": 400, "credited": 100},
        "1800000004": {"amount": 400, "written_off": 400, "settled": "2024-06-01"},
        "1800000005": {"amount": 70, "collected": 70, "settled": "2024-02-20"},
    }
    assert adds_up(ledger)
    assert refused(ledger) == [(15, "unmapped_row"), (16, "unreadable_side")]


def test_sap_terms_become_due_dates_and_lost_zeros_come_back(ledger):
    frame = ledger.to_frame().set_index("invoice_id")
    assert frame["due_date"]["1800000001"].date() == datetime.date(2024, 2, 4)
    assert frame["due_date"]["1800000002"].date() == datetime.date(2024, 3, 8)
    assert set(frame["customer_id"]) == {"0000010001", "0000010002"}


def test_sap_money_on_account_waits_until_it_is_cleared(ledger):
    # Open payment 50 and down payment 200; payment 5 was 70 on account from 15 January on.
    assert ledger.unapplied().to_dict("index") == {
        "0000010002": {"unapplied_cash": 250, "unapplied_credit": 0}
    }
    early = ledger.on("2024-01-31")
    assert early.unapplied()["unapplied_cash"].to_dict() == {"0000010002": 70}
    assert figures(early)["1800000005"] == {"amount": 70, "open": 70}


def test_sap_credit_memos_count_from_their_date_until_they_are_reversed(ledger):
    days = ("2024-02-09", "2024-02-10", "2024-02-11", "2024-02-19", "2024-02-20")
    credited = [figures(ledger, day)["1800000003"].get("credited", 0) for day in days]
    assert credited == [0, 100, 140, 140, 100]


def test_the_same_extract_without_write_offs_shows_the_loss_as_paid(ledger, tmp_path):
    told, blind = ledger, sap(tmp_path, write_offs="none")
    assert figures(told)["1800000004"]["written_off"] == 400
    assert figures(blind)["1800000004"] == {
        "amount": 400,
        "collected": 400,
        "settled": "2024-06-01",
    }
    rule = ReturnRule(0.25)
    returns = [
        ReturnPanel.from_ledger(book, rule, period="month").to_frame().loc["2024-01"]
        for book in (told, blind)
    ]
    # Of 400 and 70 invoiced in January, 70 or all of it came in.
    assert returns[0]["0000010002"] == pytest.approx(70 / (470 / 1.25) - 1, rel=1e-12)
    assert returns[1]["0000010002"] == pytest.approx(0.25, rel=1e-12)


def test_the_return_sees_a_discount_as_money_that_never_came(ledger):
    panel = ReturnPanel.from_ledger(ledger, ReturnRule(0.25), period="month").to_frame()
    expected = (1000 + 480) / (1500 / 1.25) - 1
    assert panel.loc["2024-01"]["0000010001"] == pytest.approx(expected, rel=1e-12)


def test_a_write_off_column_that_is_not_there_is_an_error_with_a_hint(tmp_path):
    with pytest.raises(DataError, match=r"no column 'RSTGRX'.*Did you mean 'RSTGR'"):
        sap(tmp_path, write_offs={"RSTGRX": ("WOF",)})


def test_a_clearing_that_does_not_balance_leaves_the_rest_open_or_on_account(tmp_path):
    header = "KUNNR;BELNR;BSCHL;SHKZG;BUDAT;ZFBDT;ZBD1T;DMBTR;AUGBL;AUGDT\n"
    short = header + "1;11;01;S;20240101;20240101;30;100.00;99;20240201\n"
    short += "1;99;15;H;20240201;20240201;0;90.00;99;20240201\n"
    ledger = open_entries(text_file(tmp_path, short), "sap", "2024-03-01", write_offs="none")
    assert figures(ledger)["0000000011"] == {"amount": 100, "collected": 90, "open": 10}
    findings = ledger.quality.findings.set_index("finding")
    assert tuple(findings.loc["settled_in_source", ["rows", "amount"]]) == (1, 10)
    before = ledger.on("2024-01-31").quality.findings
    assert list(before["finding"]) == ["restored_zeros"]  # of the customer, on any day
    more = short.replace("90.00", "130.00")
    ledger = open_entries(text_file(tmp_path, more), "sap", "2024-03-01", write_offs="none")
    assert figures(ledger)["0000000011"]["collected"] == 100
    assert ledger.unapplied()["unapplied_cash"].to_dict() == {"0000000001": 30}


def test_a_copied_line_takes_part_in_a_clearing_once(ledger, tmp_path):
    lines = SAP.strip().splitlines()
    copied = open_entries(
        text_file(tmp_path, "\n".join([*lines, lines[3], lines[1]])),
        "sap",
        "2024-06-30",
        write_offs={"RSTGR": ("WOF",)},
    )
    assert refused(copied)[-2:] == [(17, "identical_copy"), (18, "identical_copy")]
    assert figures(copied) == figures(ledger)


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"DMBTR": ""}, "amount_not_a_number"),
        ({"DMBTR": "0.00"}, "wrong_sign"),
        ({"DMBTR": "-5.00"}, "wrong_sign"),
        ({"BUDAT": ""}, "unreadable_booking_date"),
    ],
)
def test_a_payment_that_cannot_be_one_is_rejected_whole_and_clears_nothing(changed, rule):
    invoice = {"KUNNR": "1", "BELNR": "11", "BSCHL": "01", "SHKZG": "S", "BUDAT": "20240105",
               "ZFBDT": "20240105", "ZBD1T": "30", "DMBTR": "1000.00", "AUGBL": "90",
               "AUGDT": "20240130"}  # fmt: skip
    payment = invoice | {"BELNR": "90", "BSCHL": "15", "SHKZG": "H", "DMBTR": "600.00"} | changed
    frame = pd.DataFrame([invoice, payment])
    ledger = open_entries(frame, profile="sap", write_offs="none", as_of="2024-06-30")
    assert refused(ledger) == [(2, rule)]
    assert adds_up(ledger)
    assert ledger.quality.amount_accepted == 1000
    assert figures(ledger) == {"0000000011": {"amount": 1000, "open": 1000}}


def test_document_currency_reads_its_own_columns_and_keeps_one_currency(tmp_path):
    text = """
        KUNNR,BELNR,BSCHL,SHKZG,BUDAT,FAEDT,WRBTR,WAERS,DMBTR,AUGBL,AUGDT
        1,11,01,S,20240101,20240131,100.00,USD,92.00,,
        1,12,01,S,20240101,20240131,80.00,EUR,80.00,,
    """
    path, name = text_file(tmp_path, text), "sap_document_currency"
    with pytest.raises(DataError, match=r"2 currencies \(EUR 1 rows; USD 1 rows\)"):
        open_entries(path, name, "2024-02-01", write_offs="none")
    ledger = open_entries(path, name, "2024-02-01", write_offs="none", currency="usd")
    assert (ledger.currency, refused(ledger)) == ("USD", [(2, "other_currency")])
    assert figures(ledger)["0000000011"]["open"] == 100
    local = open_entries(path, "sap", "2024-02-01", write_offs="none", currency="EUR")
    assert local.quality.control_totals["money"]["amount"] == Decimal(172)


def test_numbers_that_start_anew_each_year_are_joined_with_the_year(tmp_path):
    text = """
        KUNNR,BELNR,GJAHR,BSCHL,SHKZG,BUDAT,FAEDT,DMBTR,AUGBL,AUGDT,REBZG,REBZJ
        1,11,2023,01,S,20230101,20230131,100.00,,,,
        1,11,2024,01,S,20240101,20240131,80.00,,,,
        1,21,2024,15,H,20240115,20240115,30.00,,,11,2023
    """
    plain = ENTRY_PROFILES["sap"]
    by_year = {"document": ("BELNR", "GJAHR"), "against_document": ("REBZG", "REBZJ")}
    yearly = replace(plain, name="sap, by year", columns=dict(plain.columns) | by_year)
    path = text_file(tmp_path, text)
    ledger = open_entries(path, yearly, "2024-02-01", write_offs="none")
    assert figures(ledger)["0000000011/2023"]["open"] == 70
    with pytest.raises(DataError, match="conflicting_copies 2"):
        open_entries(path, plain, "2024-02-01", write_offs="none")


def random_clearing(dice: random.Random, number: int) -> list[dict[str, object]]:
    """Return the lines of one clearing: invoices, and what covers them in part or more."""
    common = {"KUNNR": f"{number:010}", "AUGBL": f"{9_000_000_000 + number}", "AUGDT": "20240601"}
    lines = []
    for k in range(dice.randint(1, 4)):
        booked = f"202401{dice.randint(1, 28):02}"
        value = Decimal(dice.randint(100, 50_000)) / 100
        line = {"BELNR": f"18{number:06}{k:02}", "BSCHL": "01", "SHKZG": "S", "DMBTR": value}
        lines.append(common | line | {"BUDAT": booked, "ZFBDT": booked, "ZBD1T": "30"})
    invoices = list(lines)
    left = sum(line["DMBTR"] for line in invoices)
    for k in range(dice.randint(1, 5)):
        named = dice.random() < 0.2
        most = invoices[k]["DMBTR"] if named and k < len(invoices) else left
        value = (most * dice.choice([1, Decimal("0.5"), Decimal("0.3")])).quantize(Decimal("0.01"))
        if value <= 0:
            continue
        left -= value
        key, reason = dice.choice([("15", ""), ("15", ""), ("11", ""), ("15", "WOF")])
        line = {"BELNR": f"14{number:06}{k:02}", "BSCHL": key, "SHKZG": "H", "DMBTR": value}
        line |= common | {"BUDAT": f"2024020{dice.randint(1, 9)}", "RSTGR": reason}
        if named and k < len(invoices):
            line["REBZG"] = invoices[k]["BELNR"]
        elif key == "15" and not reason and dice.random() < 0.3:
            line["SKNTO"] = (value * Decimal("0.02")).quantize(Decimal("0.01"))
        lines.append(line)
    dice.shuffle(lines)
    return lines


def cleared_by_hand(lines: list[dict[str, object]]) -> tuple[dict, Decimal, Decimal, Decimal]:
    """Cover the invoices one after the other; return them and what is left of each side."""
    names = {"15": "collected", "11": "credited"}
    invoices = sorted(
        (line for line in lines if line["BSCHL"] == "01"),
        key=lambda line: (line["BUDAT"], lines.index(line)),
    )
    book = {line["BELNR"]: dict.fromkeys(MONEY[1:], Decimal(0)) for line in invoices}
    need = {line["BELNR"]: line["DMBTR"] for line in invoices}
    heaps = {name: [] for name in ("collected", "credited", "discount", "written_off")}
    for line in sorted(lines, key=lambda line: (line["BUDAT"], lines.index(line))):
        if line["BSCHL"] == "01":
            continue
        name = "written_off" if line["RSTGR"] else names[line["BSCHL"]]
        if "REBZG" in line:
            book[line["REBZG"]][name] += line["DMBTR"]
            need[line["REBZG"]] -= line["DMBTR"]
            continue
        less = line.get("SKNTO", Decimal(0))
        heaps[name].append(line["DMBTR"] - less)
        heaps["discount"].append(less)
    rest = {}
    for name, heap in heaps.items():
        money = sum(heap, Decimal(0))
        for number in book:
            part = min(money, need[number])
            book[number][name] += part
            need[number] -= part
            money -= part
        rest[name] = money
    for number, line in ((line["BELNR"], line) for line in invoices):
        book[number]["amount"] = line["DMBTR"] - book[number]["credited"]
        book[number]["open"] = need[number]
    refused_money = rest["discount"] + rest["written_off"]
    return book, rest["collected"], rest["credited"], refused_money


def test_random_clearings_agree_with_covering_by_hand():
    dice = random.Random(4)
    clearings = [random_clearing(dice, number) for number in range(1, 151)]
    frame = pd.DataFrame([line for lines in clearings for line in lines]).astype(object)
    ledger = open_entries(
        frame.where(frame.notna(), None), "sap", "2024-06-30", write_offs={"RSTGR": ("WOF",)}
    )
    found = {
        (r["customer_id"], r["invoice_id"]): {name: r[name] for name in MONEY}
        for r in ledger.to_frame().to_dict("records")
    }
    expected, cash, credit, refused_money = {}, {}, {}, Decimal(0)
    for lines in clearings:
        customer = lines[0]["KUNNR"]
        book, cash[customer], credit[customer], lost = cleared_by_hand(lines)
        refused_money += lost
        expected |= {(customer, number): row for number, row in book.items() if row["amount"]}
    assert found == expected
    assert len({tuple(row[name] > 0 for name in MONEY) for row in found.values()}) > 12
    unapplied = ledger.unapplied()
    for column, pool in (("unapplied_cash", cash), ("unapplied_credit", credit)):
        there = {name: float(money) for name, money in pool.items() if money}
        assert {name: m for name, m in unapplied[column].items() if m} == there
    # Losses that no invoice takes are refused; nothing else is.
    quality = ledger.quality
    assert set(quality.rejected["rule"]) == {"missing_against_document"}
    assert quality.amount_rejected == -refused_money
    signs = frame["SHKZG"].map({"S": 1, "H": -1})
    assert quality.amount_read == (frame["DMBTR"] * signs).sum()


# --- ERPNext ------------------------------------------------------------------------------------

ERPNEXT = """
    name,posting_date,account_type,party,due_date,voucher_type,voucher_no,against_voucher_no,amount,delinked,journal_type
    a1,2024-01-05,Receivable,ACME,2024-02-04,Sales Invoice,SI-1,SI-1,1000.00,0,
    a2,2024-01-20,Receivable,ACME,2024-02-04,Payment Entry,PE-1,SI-1,-600.00,0,
    a3,2024-01-25,Receivable,ACME,,Sales Invoice,SI-RET-1,SI-1,-150.00,0,
    a4,2024-05-01,Receivable,ACME,,Journal Entry,JE-1,SI-1,-250.00,0,Write Off Entry
    a5,2024-02-01,Receivable,ACME,,Payment Entry,PE-2,PE-2,-80.00,0,
    a6,2024-02-02,Receivable,ACME,2024-02-04,Payment Entry,PE-3,SI-1,-600.00,1,
    a7,2024-02-03,Payable,VENDOR,,Purchase Invoice,PI-1,PI-1,-10.00,0,
    a8,2024-02-10,Receivable,ACME,2024-03-11,Sales Invoice,SI-2,SI-2,50.00,0,
    a9,2024-02-11,Receivable,ACME,,Payment Entry,PE-2,PE-2,50.00,0,
    a10,2024-02-11,Receivable,ACME,,Payment Entry,PE-2,SI-2,-50.00,0,
"""


def test_erpnext_payment_ledger_entries_become_a_book(tmp_path):
    told = {"journal_type": ("Write Off Entry",)}
    ledger = open_entries(text_file(tmp_path, ERPNEXT), "erpnext", "2024-06-30", write_offs=told)
    lost = {"amount": 850, "collected": 600, "written_off": 250, "credited": 150}
    assert figures(ledger) == {
        "SI-1": lost | {"settled": "2024-05-01"},
        "SI-2": {"amount": 50, "collected": 50, "settled": "2024-02-11"},
    }
    assert refused(ledger) == [(6, "marked_void"), (7, "unmapped_row")]
    assert ledger.unapplied()["unapplied_cash"].to_dict() == {"ACME": 30}
    assert ledger.on("2024-02-01").unapplied()["unapplied_cash"].to_dict() == {"ACME": 80}
    assert adds_up(ledger)


# --- Odoo ---------------------------------------------------------------------------------------

ODOO_LINES = """
    id,move_name,move_type,journal_id,partner_id,date,date_maturity,balance,account_type,parent_state
    1,INV/1,out_invoice,1,7,2024-01-05,2024-02-04,1000.00,asset_receivable,posted
    2,INV/2,out_invoice,1,7,2024-01-20,2024-02-19,300.00,asset_receivable,posted
    3,BNK/1,entry,5,7,2024-01-10,,-1100.00,asset_receivable,posted
    4,RINV/1,out_refund,1,7,2024-01-25,,-50.00,asset_receivable,posted
    5,MISC/1,entry,9,7,2024-06-01,,-150.00,asset_receivable,posted
    6,INV/3,out_invoice,1,7,2024-02-01,2024-03-02,60.00,asset_receivable,draft
    7,BNK/2,entry,5,8,2024-02-01,,-33.00,asset_receivable,posted
"""
ODOO_LINKS = """
    id,debit_move_id,credit_move_id,amount,max_date
    1,1,3,1000.00,2024-01-10
    2,2,3,100.00,2024-01-20
    3,2,4,50.00,2024-01-25
    4,2,5,150.00,2024-06-01
    5,99,7,33.00,2024-02-01
"""


def test_odoo_move_lines_and_their_partial_reconciles_become_a_book(tmp_path):
    lines = text_file(tmp_path, ODOO_LINES)
    links = text_file(tmp_path, ODOO_LINKS, "links.csv")
    told = {"write_offs": {"journal_id": ("9",)}, "links": links}
    ledger = open_entries(lines, "odoo", "2024-06-30", **told)
    assert figures(ledger) == {
        "INV/1": {"amount": 1000, "collected": 1000, "settled": "2024-01-10"},
        "INV/2": {
            "amount": 250,
            "collected": 100,
            "written_off": 150,
            "credited": 50,
            "settled": "2024-06-01",
        },
    }
    rules = [rule for _, rule in refused(ledger)]
    assert sorted(rules) == ["marked_void", "unmatched_link"]
    # 100 of the payment waited ten days for the second invoice; 33 wait for ever.
    assert ledger.on("2024-01-15").unapplied()["unapplied_cash"].to_dict() == {"7": 100}
    assert ledger.unapplied()["unapplied_cash"].to_dict() == {"8": 33}
    assert adds_up(ledger)
    frames = [pd.read_csv(path, dtype={"move_name": str}) for path in (lines, links)]
    from_frames = open_entries(
        frames[0], "odoo", "2024-06-30", write_offs=told["write_offs"], links=frames[1]
    )
    assert figures(from_frames) == figures(ledger)


@pytest.mark.parametrize(
    ("matches", "left", "rules"),
    [
        ([("2024-01-25", "100"), ("2024-01-26", "50")], 150, []),
        ([("2024-01-25", "100"), ("2024-01-26", "100")], 100, []),
        ([("2024-01-25", "100"), ("2024-01-25", "50")], 150, []),
        ([("2024-01-20", "100"), ("2024-01-20", "50")], 150, []),
        ([("2024-01-25", "100"), ("2024-01-25", "100")], 200, ["identical_copy"] * 2),
    ],
)
def test_a_payment_matched_twice_with_one_invoice_counts_twice_but_no_copy(matches, left, rules):
    lines = pd.DataFrame(
        [
            ("1", "C1", "INV1", "2024-01-05", "2024-02-04", "300.00", "out_invoice"),
            ("2", "C1", "PAY1", "2024-01-20", "2024-01-20", "-300.00", "entry"),
        ],
        columns=["id", "partner_id", "move_name", "date", "date_maturity", "balance", "move_type"],
    )
    links = pd.DataFrame(matches, columns=["max_date", "amount"])
    links = links.assign(credit_move_id="2", debit_move_id="1")
    ledger = open_entries(lines, "odoo", "2024-03-31", write_offs="none", links=links)
    assert adds_up(ledger)
    assert list(ledger.quality.rejected["rule"]) == rules
    assert ledger.exposure().to_dict() == {"C1": left}
    assert ledger.unapplied()["unapplied_cash"].to_dict() == {"C1": left}
    assert ledger.quality.amount_read == 0


def test_a_second_table_is_asked_for_where_it_is_needed_and_only_there(tmp_path):
    path = text_file(tmp_path, ODOO_LINES)
    with pytest.raises(ModelError, match="pass links="):
        open_entries(path, "odoo", write_offs="none")
    with pytest.raises(ModelError, match="leave links= out"):
        open_entries(path, "erpnext", write_offs="none", links=path)


# --- HighRadius ---------------------------------------------------------------------------------

HIGHRADIUS = """
    business_code,cust_number,name_customer,clear_date,buisness_year,doc_id,posting_date,\
    document_create_date,due_in_date,invoice_currency,document type,area_business,\
    total_open_amount,cust_payment_terms,invoice_id,isOpen
    B1,0000300111,NORTH MARKET inc,2020-02-11 00:00:00,2020.0,4500000001.0,2020-01-26,\
    20200125,20200210.0,USD,RV,,5000.25,T15,4500000001.0,0
    B1,300111,NORTH MARKET west,,2020.0,4500000002.0,2020-02-26,\
    20200225,20200312.0,USD,RV,,100.00,T15,4500000002.0,1
    B1,0000300111,NORTH MARKET inc,2020-02-11 00:00:00,2020.0,4500000001.0,2020-01-26,\
    20200125,20200210.0,USD,RV,,5000.25,T15,4500000001.0,0
    B2,KX02,ROLLS,24-02-2020 00:00,2020.0,4600000001.0,2020-01-05,\
    20200105,20200131.0,CAD,X2,,3300.70,T10,,0
    B1,KX02,ROLLS,2020-03-24 00:00:00,2020.0,4500000003.0,2020-01-05,\
    20200105,20200204.0,USD,RV,,77.00,T30,4500000003.0,0
    B1,KX02,ROLLS,,2020.0,4500000004.0,2020-01-05,\
    20200105,20200204.0,USD,RV,,8.00,T30,4500000004.0,0
""".replace(",    ", ",")


def test_highradius_rows_become_an_invoice_and_its_settlement(tmp_path):
    path = text_file(tmp_path, HIGHRADIUS)
    options = {"as_of": "2020-04-01", "write_offs": "none", "currency": "USD"}
    ledger = open_entries(path, "highradius", groups=("business_code",), **options)
    assert figures(ledger) == {
        "4500000001": {"amount": 5000.25, "collected": 5000.25, "settled": "2020-02-11"},
        "4500000002": {"amount": 100, "open": 100},
        "4500000003": {"amount": 77, "collected": 77, "settled": "2020-03-24"},
        "4500000004": {"amount": 8, "open": 8},
    }
    assert refused(ledger) == [
        (3, "identical_copy"),
        (3, "identical_copy"),
        (4, "other_currency"),
        (6, "unreadable_booking_date"),
    ]
    reason = "the settlement has no date: clear_date is blank or no date in the profile's format"
    assert ledger.quality.rejected["reason"].iloc[-1] == reason
    assert ledger.groups == ("business_code",)
    assert set(ledger.to_frame()["business_code"]) == {"B1"}
    assert ledger.exposure().to_dict() == {"0000300111": 100.0, "KX02": 8.0}
    assert adds_up(ledger)
    as_numbers = pd.read_csv(path, dtype={"cust_number": str})
    assert figures(open_entries(as_numbers, "highradius", **options)) == figures(ledger)


def test_highradius_clearings_with_a_reason_tell_losses(tmp_path):
    lines = [line.strip() for line in HIGHRADIUS.strip().splitlines()]
    reasons = ["clearing_reason", "paid", "", "paid", "paid", "Bad Debt", ""]
    text = "\n".join(f"{line},{word}" for line, word in zip(lines, reasons, strict=True))
    ledger = open_entries(
        text_file(tmp_path, text),
        "highradius",
        "2020-04-01",
        write_offs={"clearing_reason": ("bad debt",)},
        currency="USD",
    )
    assert figures(ledger)["4500000003"]["written_off"] == 77
    assert figures(ledger, "2020-03-23")["4500000003"] == {"amount": 77, "open": 77}


# --- settlement codes ---------------------------------------------------------------------------

CODES = """
    KUNDE;BELEG;DATUM;FAELLIG;BETRAG;ERLEDIGT;BEZAHLT;ART
    0007;R1;05.01.2024;04.02.2024;1.000,00;30.01.2024;;Z1
    0007;R2;05.01.2024;04.02.2024;200,50;30.06.2024;;A9
    0007;R3;05.01.2024;04.02.2024;300,00;01.02.2024;120,00;Z2
    0007;R4;05.01.2024;04.02.2024;400,00;;;
    0007;R5;05.01.2024;04.02.2024;500,00;01.02.2024;;G1
    0007;R6;05.01.2024;04.02.2024;600,00;01.02.2024;;??
    0007;R7;05.01.2024;04.02.2024;700,00;;;Z1
"""
COLUMNS = {
    "customer_id": "KUNDE",
    "document": "BELEG",
    "booking_date": "DATUM",
    "due_date": "FAELLIG",
    "amount": "BETRAG",
    "settled_date": "ERLEDIGT",
    "settled_amount": "BEZAHLT",
}


def test_a_settlement_code_tells_a_payment_from_a_write_off(tmp_path):
    codes = {"payment": ("Z1", "Z2"), "write_off": ("A9",), "credit_note": ("G1",)}
    profile = settlement_profile(codes, "ART", COLUMNS)
    ledger = open_entries(text_file(tmp_path, CODES), profile, "2024-07-31", date_format="%d.%m.%Y")
    assert figures(ledger) == {
        "R1": {"amount": 1000, "collected": 1000, "settled": "2024-01-30"},
        "R2": {"amount": 200.5, "written_off": 200.5, "settled": "2024-06-30"},
        "R3": {"amount": 300, "collected": 120, "open": 180},
        "R4": {"amount": 400, "open": 400},
        # R5 was credited in full: no sale is left of it.
        "R6": {"amount": 600, "open": 600},
        "R7": {"amount": 700, "open": 700},
    }
    assert refused(ledger) == [(6, "unmapped_row"), (7, "unreadable_booking_date")]
    findings = ledger.quality.findings.set_index("finding")
    assert findings["amount"]["credited_in_full"] == 500
    assert adds_up(ledger)


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ({"payment": ("Z1",)}, "no settlement code means write_off"),
        ({"write_off": ("A9",)}, "no settlement code means payment"),
        ({"payment": ("Z1",), "write_off": ("z1",)}, "'z1' means two things"),
        ({"payment": ("Z1",), "writeoff": ("A9",)}, "Did you mean 'write_off'"),
    ],
)
def test_codes_must_tell_payments_and_write_offs_apart(codes, words):
    with pytest.raises(ModelError, match=words):
        settlement_profile(codes)


# --- a system of one's own ----------------------------------------------------------------------


def test_another_system_is_more_data_and_no_code(tmp_path):
    own = EntryProfile(
        "own",
        {
            "customer_id": "cust",
            "document": "doc",
            "against_document": "for",
            "booking_date": "day",
            "due_date": "due",
            "amount": "value",
        },
        kinds=(KindRule("invoice", sign=1), KindRule("payment", sign=-1)),
    )
    text = "cust,doc,for,day,due,value\nA,1,,2024-01-01,2024-01-31,10\nA,2,1,2024-01-09,,-10\n"
    ledger = open_entries(text_file(tmp_path, text), own)
    assert figures(ledger) == {"1": {"amount": 10, "collected": 10, "settled": "2024-01-09"}}
    assert ledger.as_of == datetime.date(2024, 1, 9)


# --- what is told as a write-off, and is none ---------------------------------------------------


def test_a_text_for_write_offs_that_no_row_holds_is_noted_with_what_the_rows_say(tmp_path):
    part = sap(tmp_path, write_offs={"RSTGR": ("wof", "ZZZ"), "BLART": ("AB",)}).quality
    assert "write_offs: no row says 'ZZZ' in RSTGR; it says '' (15), 'WOF' (1)" in part.notes
    none = sap(tmp_path, write_offs={"RSTGR": ("ZZZ",), "UMSKZ": ("9", "A9")}).quality
    assert none.notes[0] == (
        "no row is a write-off: RSTGR never says 'ZZZ'; it says '' (15), 'WOF' (1); "
        "UMSKZ never says '9', 'A9'; it says '' (14), 'A' (1), 'W' (1)"
    )
    sound = sap(tmp_path).quality
    assert not any("write" in note for note in (*sound.notes, *sap(tmp_path, write_offs="none").
                                                quality.notes))  # fmt: skip


def test_of_a_column_with_many_texts_the_ten_most_frequent_are_noted():
    frame = coded([f"T{k:02}" for k in range(12)])
    note = coded_ledger(frame, "ZZZ").quality.notes[0]
    assert note.endswith(
        "it says '' (12), 'T00' (1), 'T01' (1), 'T02' (1), 'T03' (1), "
        "'T04' (1), 'T05' (1), 'T06' (1), 'T07' (1), 'T08' (1) and others"
    )


def coded(codes: list[object]) -> pd.DataFrame:
    """Return an invoice and its full settlement for each code, in SAP's columns."""
    rows = []
    for k, code in enumerate(codes):
        sale = (f"{100 + k}", "01", "S", "20240105", "20240204", "100.00", None, "", "")
        claim = (f"{500 + k}", "15", "H", "20240301", "", "100.00", code, "", "")
        rows += [("7", *sale, ""), ("7", *claim, f"{100 + k}".rjust(10, "0"))]
    names = ("KUNNR", "BELNR", "BSCHL", "SHKZG", "BUDAT", "FAEDT", "DMBTR", "RSTGR", "AUGBL",
             "AUGDT", "REBZG")  # fmt: skip
    return pd.DataFrame(rows, columns=list(names))


def coded_ledger(frame: pd.DataFrame, text: str) -> EntryLedger:
    return open_entries(frame, "sap", "2024-06-30", write_offs={"RSTGR": (text,)})


def test_codes_that_pandas_made_floats_of_are_whole_numbers():
    frame = coded([7, 8])
    assert frame["RSTGR"].dtype == "float64"
    ledger = coded_ledger(frame, "7")
    assert figures(ledger)["0000000100"]["written_off"] == 100
    assert figures(ledger)["0000000101"]["collected"] == 100
    assert not any("write_off" in note for note in ledger.quality.notes)
    findings = ledger.quality.findings.set_index("finding")
    assert findings.loc["whole_numbers", "rows"] == 2
    missed = coded_ledger(frame, "007")
    assert missed.quality.notes[0] == (
        "no row is a write-off: RSTGR never says '007'; it says '' (2), '7' (1), '8' (1)"
    )


def test_posting_keys_in_floats_are_told_with_their_zeros():
    frame = coded(["x"])
    frame["BSCHL"] = [1.0, 15.0]
    assert figures(coded_ledger(frame, "x"))["0000000100"]["written_off"] == 100


@pytest.mark.parametrize("texts", [(12,), 12, ("WOF", None), [7.0]])
def test_texts_that_are_no_text_are_refused_with_what_was_found(texts):
    with pytest.raises(ModelError, match="expected text, as the column writes it"):
        open_entries(coded([7]), "sap", write_offs={"RSTGR": texts})
    with pytest.raises(ModelError, match="'RSTGR' and its texts hold"):
        KindRule("payment", {"RSTGR": texts})


# --- columns that may be absent -----------------------------------------------------------------

# The customer's open items as the table BSID has them; BSAD is the same.
BSID = """
    MANDT BUKRS KUNNR UMSKS UMSKZ AUGDT AUGBL ZUONR GJAHR BELNR BUZEI BUDAT BLDAT CPUDT WAERS XBLNR
    BLART MONAT BSCHL ZUMSK SHKZG GSBER MWSKZ DMBTR WRBTR MWSTS WMWST BDIFF BDIF2 SGTXT PROJN AUFNR
    ANLN1 ANLN2 SAKNR HKONT FKONT FILKD ZFBDT ZTERM ZBD1T ZBD2T ZBD3T ZBD1P ZBD2P SKFBT SKNTO WSKTO
    ZLSCH ZLSPR ZBFIX HBKID BVTYP REBZG REBZJ REBZZ SAMNR ANFBN ANFBJ ANFBU MANSP MSCHL MADAT MANST
    MABER XNETB XANET XCPDD XINVE XZAHL MWSK1 DMBT1 WRBT1 MWSK2 DMBT2 WRBT2 MWSK3 DMBT3 WRBT3 BSTAT
    VBUND VBELN REBZT INFAE STCEG EGBLD EGLLD RSTGR XNOZA VERTT VERTN VBEWA WVERW PROJK FIPOS NPLNR
    AUFPL APLZL XEGDR DMBE2 DMBE3 DMB21 DMB22 DMB23 DMB31 DMB32 DMB33 BDIF3 XRAGL UZAWE XSTOV MWST2
    MWST3 SKNT2 SKNT3 XREF1 XREF2 XARCH PSWSL PSWBT LZBKZ LANDL IMKEY VBEL2 VPOS2 POSN2 ETEN2 FISTL
    GEBER DABRZ XNEGP KOSTL RFZEI KKBER EMPFB PRCTR XREF3 QSSKZ ZINKZ DTWS1 DTWS2 DTWS3 DTWS4 XPYPR
    KIDNO ABSBT CCBTC PYCUR PYAMT BUPLA SECCO CESSION_KZ PPDIFF PPDIF2 PPDIF3 KBLNR KBLPOS GRANT_NBR
    GMVKZ SRTYPE LOTKZ FKBER INTRENO PPRCT BUZID AUGGJ HKTID BUDGET_PD PAYS_PROV PAYS_TRAN MNDID
    KONTT KONTL UEBGDAT VNAME EGRUP BTYPE OIEXGNUM OINETCYC OIEXGTYP PROPMANO
"""


LEFT_OUT = (
    ("sap", ()),
    ("sap_document_currency", ()),
    ("sap", ("ZBD1T", "ZBD2T", "ZBD3T", "REBZG", "BUZEI", "UMSKS", "UMSKZ", "SKNTO")),
    ("sap_document_currency", ("WSKTO", "ZFBDT")),
    ("sap", ("SKNTO", "WSKTO")),
)


@pytest.mark.parametrize(("name", "without"), LEFT_OUT)
def test_real_columns_of_sap_are_no_misspellings_of_each_other(name, without):
    header = [column for column in BSID.split() if column not in without]
    frame = pd.DataFrame({column: [""] for column in header})
    row = {"KUNNR": "1", "BELNR": "1", "BSCHL": "01", "SHKZG": "S", "BUDAT": "20240105",
           "DMBTR": "5.00", "WRBTR": "5.00", "WAERS": "EUR", "ZFBDT": "20240105"}  # fmt: skip
    frame = frame.assign(**row, **({"FAEDT": "20240105"} if "ZFBDT" in without else {}))
    frame = frame.drop(columns=[column for column in without if column in frame])
    ledger = open_entries(frame, name, "2024-06-30", write_offs="none")
    assert ledger.exposure().to_dict() == {"0000000001": 5}


MISSPELT = {"ZBDT1": "ZBD1T", "UMSKS": "UMSKZ", "SKONTO": "SKNTO", "rebz_g": "REBZG"}


@pytest.mark.parametrize(("wrong", "right"), MISSPELT.items())
def test_a_column_that_is_nearly_one_of_the_profile_is_refused(tmp_path, wrong, right):
    text = SAP.replace(f";{right};", f";{wrong};")
    with pytest.raises(DataError, match=f"has a column '{wrong}' and none called .*'{right}'"):
        open_entries(text_file(tmp_path, text), "sap", "2024-06-30", write_offs="none")
    # Kept for grouping it is something else, and so it is beside a blank one of the right name.
    path = text_file(tmp_path, text)
    grouped = open_entries(path, "sap", "2024-06-30", write_offs="none", groups=[wrong])
    assert grouped.groups == (wrong,)
    frame = pd.read_csv(path, sep=";", dtype=str).assign(**{right: ""})
    frame = frame.assign(ZBD2T="", ZBD3T="")
    open_entries(frame, "sap", "2024-06-30", write_offs="none")


def test_two_currencies_under_a_misspelt_name_are_not_added_up():
    names = ["customer_id", "document", "against_document", "kind", "booking_date", "due_date",
             "amount", "currrency"]  # fmt: skip
    rows = [
        ("C1", "I1", "", "invoice", "2024-01-02", "2024-02-01", "100.00", "EUR"),
        ("C1", "P1", "I1", "payment", "2024-01-20", "", "-60.00", "USD"),
    ]
    frame = pd.DataFrame(rows, columns=names)
    with pytest.raises(DataError, match="'currrency' and none called 'currency'; probably a miss"):
        open_entries(frame, as_of="2024-03-31")
    notes = open_entries(frame.drop(columns="currrency"), as_of="2024-03-31").quality.notes
    absent = "no column for line, end_date, currency: blank in every row; no row says its currency"
    assert [note for note in notes if note.startswith("no column")] == [absent]
    beside = frame.assign(entry_date="2024-01-01", line_text="", currency_rate="1")
    open_entries(beside.drop(columns="currrency"), as_of="2024-03-31")


def test_columns_that_a_system_leaves_out_are_noted_with_what_they_are_for(tmp_path, ledger):
    absent = "no column for FAEDT (due_date), ZBD3T, ZBD2T: blank in every row"
    assert absent in ledger.quality.notes
    full = open_entries(text_file(tmp_path, ERPNEXT), "erpnext", "2024-06-30", write_offs="none")
    assert not any("no column" in note for note in full.quality.notes)
