"""What each kind of entry does to an invoice, from its date on, and which entries are refused."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import ibis
import ibis.expr.operations as ops
import pandas as pd
import pyarrow as pa
import pytest

from credit_portfolio.ledger.entries import (
    CLAIMS,
    ENTRY_COLUMNS,
    ENTRY_RULES,
    KINDS,
    invoices_from_entries,
    judge_entries,
    unapplied_on,
)
from credit_portfolio.ledger.profiles import ENTRY_PROFILES
from credit_portfolio.ledger.schema import INVOICE_COLUMNS
from credit_portfolio.ledger.source import open_ledger

SCHEMA = ibis.schema(
    {
        "row": "int64",
        "customer_id": "string",
        "document": "string",
        "line": "string",
        "against_document": "string",
        "kind": "string",
        "booking_date": "date",
        "due_date": "date",
        "end_date": "date",
        "amount": "decimal(18, 4)",
        "fault": "string",
    }
)


class Book:
    """Entries in an engine of their own."""

    def __init__(self, *entries: dict[str, object]) -> None:
        rows = [
            dict.fromkeys(SCHEMA) | {"fault": ""} | entry | {"row": k}
            for k, entry in enumerate(entries, start=1)
        ]
        self.engine = ibis.duckdb.connect()
        self.engine.con.register("raw", pa.Table.from_pylist(rows, SCHEMA.to_pyarrow()))
        raw = ops.DatabaseTable("raw", schema=SCHEMA, source=self.engine).to_expr()
        self.judged = judge_entries(raw, store=self.store)
        self.accepted = self.judged.filter(self.judged.rule == "")

    def store(self, name: str, table: ibis.Table) -> ibis.Table:
        self.engine.con.execute(f"CREATE TEMP TABLE {name} AS {self.engine.compile(table)}")
        return ops.DatabaseTable(name, schema=table.schema(), source=self.engine).to_expr()

    def rows(self, table: ibis.Table) -> list[dict[str, object]]:
        return self.engine.to_pyarrow(table).to_pylist()

    def rules(self) -> list[str]:
        return [r["rule"] for r in self.rows(self.judged.select("row", "rule").order_by("row"))]

    def invoices(self, as_of: str) -> list[dict[str, object]]:
        table = invoices_from_entries(self.accepted, datetime.date.fromisoformat(as_of))
        return self.rows(table.order_by("invoice_id"))

    def figures(self, as_of: str) -> dict[str, object]:
        """Return what can be seen of the one invoice there is; zeros left out."""
        (invoice,) = self.invoices(as_of)
        names = ("amount", "collected", "discount", "written_off", "open", "credited")
        found = {name: float(invoice[name]) for name in names if invoice[name]}
        if invoice["settled_date"]:
            found["settled"] = invoice["settled_date"].isoformat()
        if invoice["disputed"]:
            found["disputed"] = True
        return found

    def unapplied(self, as_of: str) -> dict[str, tuple[float, float]]:
        table = unapplied_on(self.accepted, datetime.date.fromisoformat(as_of))
        return {
            r["customer_id"]: (float(r["unapplied_cash"]), float(r["unapplied_credit"]))
            for r in self.rows(table)
        }


def entry(kind: str, on: str, amount: object = None, **more: object) -> dict[str, object]:
    """Return an entry on invoice 1, but for what is given."""
    found: dict[str, object] = {
        "customer_id": "C1",
        "document": f"{kind} of {on}",
        "kind": kind,
        "booking_date": datetime.date.fromisoformat(on),
        "amount": None if amount is None else Decimal(str(amount)),
    }
    if kind not in ("invoice", "payment_on_account"):
        found["against_document"] = "1"
    for name in ("due_date", "end_date"):
        if name in more:
            more[name] = datetime.date.fromisoformat(str(more[name]))
    return found | more


def invoice(on: str = "2024-01-10", amount: object = 100, **more: object) -> dict[str, object]:
    return entry("invoice", on, amount, **({"document": "1", "due_date": "2024-02-09"} | more))


def test_an_invoice_is_open_from_its_date_and_not_before():
    book = Book(invoice())
    assert book.invoices("2024-01-09") == []
    assert book.figures("2024-01-10") == {"amount": 100, "open": 100}


@pytest.mark.parametrize(
    ("kind", "column"),
    [("payment", "collected"), ("write_off", "written_off"), ("discount", "discount")],
)
def test_what_closes_an_invoice_counts_from_its_date_under_its_own_name(kind, column):
    book = Book(entry(kind, "2024-01-20", -100), invoice())
    assert book.figures("2024-01-19") == {"amount": 100, "open": 100}
    assert book.figures("2024-01-20") == {"amount": 100, column: 100, "settled": "2024-01-20"}
    assert book.figures("2024-06-30") == book.figures("2024-01-20")


def test_a_credit_note_lowers_the_sale_and_is_no_payment():
    book = Book(
        invoice(), entry("credit_note", "2024-01-15", -30), entry("payment", "2024-02-01", -70)
    )
    assert book.figures("2024-01-14") == {"amount": 100, "open": 100}
    assert book.figures("2024-01-15") == {"amount": 70, "open": 70, "credited": 30}
    paid = {"amount": 70, "collected": 70, "credited": 30, "settled": "2024-02-01"}
    assert book.figures("2024-02-01") == paid


def test_an_invoice_credited_in_full_is_a_sale_of_nothing_and_settled():
    book = Book(invoice(), entry("credit_note", "2024-01-15", -100))
    assert book.figures("2024-01-31") == {"credited": 100, "settled": "2024-01-15"}


def test_a_discount_is_money_that_never_comes_neither_collected_nor_open_nor_lost():
    book = Book(invoice(), entry("payment", "2024-01-18", -98), entry("discount", "2024-01-18", -2))
    figures = {"amount": 100, "collected": 98, "discount": 2, "settled": "2024-01-18"}
    assert book.figures("2024-01-31") == figures


def test_one_payment_settles_many_invoices_and_many_payments_settle_one():
    second = invoice(document="2", amount=50)
    one = {"document": "P1"}
    book = Book(
        invoice(),
        second,
        entry("payment", "2024-01-20", -40, **one),
        entry("payment", "2024-01-20", -50, **one, against_document="2"),
        entry("payment", "2024-01-25", -60),
    )
    assert book.rules() == [""] * 5
    first, second = book.invoices("2024-01-20")
    assert (first["open"], first["settled_date"]) == (60, None)
    assert (second["open"], second["settled_date"]) == (0, datetime.date(2024, 1, 20))
    assert book.invoices("2024-01-25")[0]["settled_date"] == datetime.date(2024, 1, 25)


def test_a_reversal_undoes_the_whole_document_from_its_date_on():
    book = Book(
        invoice(),
        entry("payment", "2024-01-20", -98, document="P1"),
        entry("discount", "2024-01-20", -2, document="P1"),
        entry("reversal", "2024-01-25", against_document="P1"),
        entry("write_off", "2024-03-01", -100),
    )
    paid = {"amount": 100, "collected": 98, "discount": 2, "settled": "2024-01-20"}
    assert book.figures("2024-01-24") == paid
    assert book.figures("2024-01-25") == {"amount": 100, "open": 100}
    lost = {"amount": 100, "written_off": 100, "settled": "2024-03-01"}
    assert book.figures("2024-03-01") == lost


def test_settled_is_the_day_from_which_nothing_was_open_any_more():
    book = Book(
        invoice(),
        entry("payment", "2024-01-20", -100, document="P1"),
        entry("reversal", "2024-01-25", 100, against_document="P1"),
        entry("payment", "2024-02-01", -100),
    )
    days = {day: book.figures(day).get("settled") for day in ("2024-01-24", "2024-01-31")}
    assert days == {"2024-01-24": "2024-01-20", "2024-01-31": None}
    assert book.figures("2024-02-05")["settled"] == "2024-02-01"


def test_a_reversal_on_the_day_of_a_new_payment_makes_room_for_it():
    book = Book(
        invoice(),
        entry("payment", "2024-01-20", -100, document="P1"),
        entry("payment", "2024-01-25", -100, document="P2"),
        entry("reversal", "2024-01-25", against_document="P1"),
    )
    assert book.rules() == [""] * 4
    assert book.figures("2024-01-25")["settled"] == "2024-01-20"  # never open at the end of a day


def test_what_was_paid_on_an_undone_invoice_is_on_account_and_can_be_used_again():
    book = Book(
        invoice(),
        entry("payment", "2024-01-20", -100),
        entry("reversal", "2024-01-25", -100),
        invoice("2024-01-26", document="1b"),
        entry("payment_on_account", "2024-01-27", 100),
        entry("payment", "2024-01-27", -100, document="move", against_document="1b"),
    )
    assert book.rules() == [""] * 6
    assert book.invoices("2024-01-25") == []
    assert book.unapplied("2024-01-24") == {}
    assert book.unapplied("2024-01-26") == {"C1": (100, 0)}
    assert book.unapplied("2024-01-27") == {}
    assert book.invoices("2024-01-27")[0]["collected"] == 100


def test_money_and_credit_on_account_are_shown_per_customer_and_never_spread():
    book = Book(
        invoice(),
        entry("payment_on_account", "2024-01-12", -40),
        entry("payment", "2024-01-13", -5, against_document=None),
        entry("credit_note", "2024-01-14", -7, against_document=None),
        entry("payment_on_account", "2024-01-20", -1, customer_id="C2"),
        entry("payment_on_account", "2024-01-21", 30),
        entry("payment", "2024-01-21", -30),
    )
    assert book.figures("2024-01-20") == {"amount": 100, "open": 100}
    assert book.unapplied("2024-01-20") == {"C1": (45, 7), "C2": (1, 0)}
    assert book.figures("2024-01-21") == {"amount": 100, "collected": 30, "open": 70}
    assert book.unapplied("2024-01-21") == {"C1": (15, 7), "C2": (1, 0)}


def test_a_dispute_marks_from_its_date_to_its_end_or_its_reversal():
    ended = Book(invoice(), entry("dispute", "2024-01-20", end_date="2024-01-25"))
    undone = Book(
        invoice(),
        entry("dispute", "2024-01-20", document="D1"),
        entry("reversal", "2024-01-25", against_document="D1"),
    )
    for book in (ended, undone):
        days = ("2024-01-19", "2024-01-20", "2024-01-24", "2024-01-25")
        assert [book.invoices(day)[0]["disputed"] for day in days] == [False, True, True, False]
        assert book.figures("2024-01-20")["open"] == 100


# --- what is refused ----------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, object], ...]] = {
    "missing_customer_id": (entry("payment", "2024-01-20", -1, customer_id=None),),
    "missing_document": (entry("payment", "2024-01-20", -1, document=None),),
    "unknown_kind": (entry("gift", "2024-01-20", -1),),
    "unreadable_booking_date": (entry("payment", "2024-01-20", -1, booking_date=None),),
    "amount_not_a_number": (entry("payment", "2024-01-20"),),
    "wrong_sign": (
        entry("payment", "2024-01-20", 1),
        entry("payment", "2024-01-21", 0),
        invoice(amount=-1, document="9"),
        entry("write_off", "2024-01-20", 1),
        entry("dispute", "2024-01-20", 1),
    ),
    "unreadable_due_date": (invoice(document="9") | {"due_date": None},),
    "due_before_invoiced": (invoice(document="9", due_date="2024-01-09"),),
    "ended_before_disputed": (entry("dispute", "2024-01-20", end_date="2024-01-19"),),
    "missing_against_document": (
        entry("write_off", "2024-01-20", -1, against_document=None),
        entry("reversal", "2024-01-20", against_document=None),
    ),
    "needless_against_document": (
        invoice(document="9", against_document="1"),
        entry("payment_on_account", "2024-01-20", -1, against_document="1"),
    ),
    "unknown_against_document": (
        entry("payment", "2024-01-20", -1, against_document="7"),
        entry("reversal", "2024-01-20", against_document="7"),
    ),
    "dated_before_document": (
        entry("payment", "2024-01-09", -1),
        entry("reversal", "2024-01-09"),
    ),
    "over_allocated": (entry("payment", "2024-01-20", "-100.0001"),),
    "on_account_overdrawn": (entry("payment_on_account", "2024-01-20", 1),),
}


def test_an_entry_that_breaks_a_rule_is_refused_under_it_and_changes_nothing():
    cases = [(rule, bad) for rule, group in REFUSED.items() for bad in group]
    # Numbered apart, so that one book can hold them all.
    apart = [
        bad if bad["document"] is None else bad | {"document": f"b{k}"}
        for k, (_, bad) in enumerate(cases)
    ]
    book = Book(invoice(), *apart)
    assert book.rules() == ["", *(rule for rule, _ in cases)]
    assert book.figures("2024-06-30") == {"amount": 100, "open": 100}
    assert book.unapplied("2024-06-30") == {}


def test_a_fault_that_the_reader_found_comes_first():
    assert Book(invoice(), entry("gift", "2024-01-20", fault="other_currency")).rules()[1] == (
        "other_currency"
    )


def test_of_identical_copies_the_first_counts_and_of_others_none():
    paid = entry("payment", "2024-01-20", -10)
    assert Book(invoice(), paid, paid).rules() == ["", "", "identical_copy"]
    differs = paid | {"amount": Decimal(-20)}
    rules = Book(invoice(), paid, differs, paid).rules()
    assert rules == ["", *["conflicting_copies"] * 3]
    apart = [paid | {"line": "1"}, differs | {"line": "2"}]
    assert Book(invoice(), *apart).rules() == ["", "", ""]


def test_claims_on_a_refused_invoice_are_refused_too():
    book = Book(invoice(amount=-5), entry("payment", "2024-01-20", -5))
    assert book.rules() == ["wrong_sign", "unknown_against_document"]


def test_what_follows_an_over_allocation_is_refused_until_there_is_room_again():
    book = Book(
        invoice(),
        entry("payment", "2024-01-20", -90),
        entry("payment", "2024-01-21", -20, document="P2"),
        entry("payment", "2024-01-22", -5),
        entry("reversal", "2024-01-23", against_document="P2"),
        entry("payment", "2024-01-24", -5),
    )
    assert book.rules() == ["", "", "over_allocated", "over_allocated", "", ""]
    assert book.figures("2024-01-24") == {"amount": 100, "collected": 95, "open": 5}


def test_a_claim_above_the_whole_invoice_is_refused_and_forgotten():
    book = Book(
        invoice(),
        entry("payment", "2024-01-20", -1000),
        entry("write_off", "2024-01-21", -100),
    )
    assert book.rules() == ["", "over_allocated", ""]
    assert book.figures("2024-01-21")["written_off"] == 100


@pytest.mark.parametrize(
    ("reversal", "rule"),
    [
        (entry("reversal", "2024-01-25", 99, against_document="P1"), "reversal_amount_differs"),
        (entry("reversal", "2024-01-25", -100, against_document="P1"), "reversal_amount_differs"),
        (entry("reversal", "2024-01-19", 100, against_document="P1"), "dated_before_document"),
        (entry("reversal", "2024-01-25", 100, against_document="P1"), ""),
    ],
)
def test_a_reversal_names_a_document_booked_before_and_its_whole_amount(reversal, rule):
    book = Book(invoice(), entry("payment", "2024-01-20", -100, document="P1"), reversal)
    assert book.rules() == ["", "", rule]


def test_a_document_is_undone_once_and_nothing_is_booked_to_it_afterwards():
    book = Book(
        invoice(),
        entry("payment", "2024-01-20", -10, document="P1"),
        entry("reversal", "2024-01-25", against_document="P1", document="R1"),
        entry("reversal", "2024-01-26", against_document="P1", document="R2"),
        entry("payment", "2024-01-27", -10, document="P1", line="2"),
    )
    assert book.rules() == ["", "", "", "already_reversed", "booked_after_reversal"]


def test_nothing_is_paid_on_an_invoice_after_it_was_undone():
    book = Book(invoice(), entry("reversal", "2024-01-25"), entry("payment", "2024-01-26", -1))
    assert book.rules() == ["", "", "booked_after_reversal"]


def test_a_number_of_an_invoice_and_of_something_else_is_not_undone():
    book = Book(
        invoice(),
        entry("payment_on_account", "2024-01-12", -5, document="1"),
        entry("reversal", "2024-01-25"),
    )
    assert book.rules() == ["", "", "ambiguous_reversal"]


def test_every_rule_has_words_and_every_kind_a_meaning():
    assert all(rule.meaning and rule.what_to_do and rule.reason for rule in ENTRY_RULES)
    assert len({rule.name for rule in ENTRY_RULES}) == len(ENTRY_RULES)
    assert set(CLAIMS) < set(KINDS)


def test_the_page_lists_every_rule_kind_and_column():
    page = Path(__file__).parents[2] / "docs" / "ledger_entries.md"
    lines = page.read_text(encoding="utf-8").splitlines()
    for rule in ENTRY_RULES:
        assert f"| `{rule.name}` | {rule.meaning} | {rule.what_to_do} |" in lines
    names = [*KINDS, *(column.name for column in ENTRY_COLUMNS), *ENTRY_PROFILES]
    assert [n for n in names if not any(line.startswith(f"| `{n}` |") for line in lines)] == []


# --- both shapes --------------------------------------------------------------------------------


def random_facts(dice: random.Random, k: int) -> dict[str, object]:
    """Return an invoice that is open, or closed in one go, in part by a write-off."""
    booked = datetime.date(2024, 1, 1) + datetime.timedelta(days=dice.randint(0, 90))
    amount = Decimal(dice.randint(1, 99_999)) / 100
    lost = dice.choice([Decimal(0), Decimal(0), amount, (amount / 3).quantize(Decimal("0.01"))])
    closed = dice.choice([None, 0, 12, 60])
    return {
        "customer_id": dice.choice(["007", "7", "C1"]),
        "invoice_id": f"{k:04}",
        "invoice_date": booked,
        "due_date": booked + datetime.timedelta(days=30),
        "amount": amount,
        "settled_date": None if closed is None else booked + datetime.timedelta(days=closed),
        "settled_amount": None if closed is None else amount - lost,
        "written_off_amount": None if closed is None else lost,
        "disputed": dice.random() < 0.3,
    }


def as_entries(fact: dict[str, object]) -> list[dict[str, object]]:
    """Write the facts of one invoice as entries."""
    number, booked = fact["invoice_id"], fact["invoice_date"]
    common = {"customer_id": fact["customer_id"], "booking_date": booked}
    against = common | {"against_document": number}
    found = [common | {"document": number, "kind": "invoice", "amount": fact["amount"]}]
    found[0]["due_date"] = fact["due_date"]
    if fact["disputed"]:
        found.append(against | {"document": f"d{number}", "kind": "dispute"})
    closing = against | {"document": f"p{number}", "booking_date": fact["settled_date"]}
    for kind, name in (("payment", "settled_amount"), ("write_off", "written_off_amount")):
        if fact[name]:
            found.append(closing | {"kind": kind, "amount": -fact[name]})
    return found


@pytest.mark.parametrize("as_of", ["2024-01-20", "2024-03-01", "2024-07-31"])
def test_both_shapes_give_the_same_positions_for_the_same_facts(as_of):
    dice = random.Random(as_of)
    facts = [random_facts(dice, k) for k in range(150)]
    facts[0] |= {"invoice_date": datetime.date(2024, 1, 1)}
    frame = pd.DataFrame(facts).astype(object)
    by_invoice = open_ledger(frame.where(frame.notna(), None), as_of=as_of)
    assert by_invoice.quality.rows_rejected == 0
    entries = [found for fact in facts for found in as_entries(fact)]
    dice.shuffle(entries)
    book = Book(*entries)
    assert set(book.rules()) == {""}
    day = datetime.date.fromisoformat(as_of)
    columns: Callable[[ibis.Table], ibis.Table] = lambda t: t.select(*INVOICE_COLUMNS)  # noqa: E731
    from_entries = book.rows(columns(invoices_from_entries(book.accepted, day)))
    from_invoices = columns(by_invoice.invoices).to_pyarrow().to_pylist()
    key = lambda r: r["invoice_id"]  # noqa: E731
    assert sorted(from_entries, key=key) == sorted(from_invoices, key=key)
    assert sum(r["settled_date"] is not None for r in from_entries) > 5
