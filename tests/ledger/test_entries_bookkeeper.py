"""Random ledgers of entries against a bookkeeper who uses nothing but plain Python.

The engine judges many ledgers in one table and pictures them on several days in one query, or opens
them as one file, of text or of typed columns; the bookkeeper replays each on its own, day by day,
from the definitions in docs/ledger_entries.md.
"""

from __future__ import annotations

import csv
import datetime
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import ibis
import ibis.expr.operations as ops
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from credit_portfolio.ledger.entries import (
    ENTRY_RULE,
    invoices_from_entries,
    judge_entries,
    unapplied_on,
)
from credit_portfolio.ledger.opening import open_entries

START = datetime.date(2024, 1, 1)
DAYS = 40
LEDGERS = 60  # of each seed
PICTURES = (0, 9, 17, 18, 30, 45)  # days after START
LOWERS = ("payment", "credit_note", "write_off", "discount")


@dataclass(frozen=True)
class Entry:
    customer_id: str | None
    document: str | None
    kind: str | None
    booking_date: datetime.date | None
    amount: Decimal | None = None
    against_document: str | None = None
    due_date: datetime.date | None = None
    end_date: datetime.date | None = None
    line: str | None = None
    region: str | None = None
    fault: str = ""


# --- the ledgers --------------------------------------------------------------------------------


def day(k: int) -> datetime.date:
    return START + datetime.timedelta(days=k)


def money(dice: random.Random, most: int) -> Decimal:
    places = dice.choice([100, 100, 100, 10_000])
    return Decimal(dice.randint(1, max(most, 1) * places)) / places


def random_ledger(dice: random.Random, name: str) -> list[Entry]:
    """Return entries in any order; most are sound, some are not."""
    customers = [f"{name}/C{k}" for k in range(dice.randint(1, 3))]
    entries: list[Entry] = []
    invoices: list[Entry] = []
    for k in range(dice.randint(1, 5)):
        booked = day(dice.randint(0, DAYS // 2))
        due = booked + datetime.timedelta(days=dice.choice([0, 7, 30]))
        region = dice.choice([None, "north", "south"])
        amount = money(dice, dice.choice([5, 50]))
        invoice = Entry(dice.choice(customers), f"{name}/I{k}", "invoice", booked, amount)
        invoices.append(replace(invoice, due_date=due, region=region))
    entries += invoices
    for k in range(dice.randint(0, 9)):
        document = f"{name}/D{k}"
        booked = dice.randint(0, DAYS)
        for line in range(dice.choice([1, 1, 1, 2, 3])):
            aim = dice.choice(invoices)
            if dice.random() < 0.9:  # most follow their invoice
                booked = max(booked, (aim.booking_date - START).days)
            kind = dice.choice(["payment", "payment", *LOWERS, "dispute"])
            share = Decimal(dice.choice(["1", "1", "0.5", "0.5", "0.3", "0.3", "0.3", "2"]))
            value = -(aim.amount * share).quantize(Decimal("0.0001"))
            entry = Entry(aim.customer_id, document, kind, day(booked), value, aim.document)
            if kind == "dispute":
                end = dice.choice([None, None, 0, 3, 10, -2])
                end_date = None if end is None else day(booked + end)
                entry = replace(entry, amount=dice.choice([None, Decimal(0)]), end_date=end_date)
            if dice.random() < 0.2:
                entry = replace(entry, line=str(line))
            entries.append(entry)
    for k in range(dice.choice([0, 0, 1, 2, 4])):
        kind = dice.choice(["payment_on_account"] * 4 + ["payment", "credit_note"])
        sign = 1 if kind != "payment" and dice.random() < 0.4 else -1
        value = sign * money(dice, 10)
        where = dice.choice(customers)
        entries.append(Entry(where, f"{name}/A{k}", kind, day(dice.randint(0, DAYS)), value))
    for k in range(dice.choice([0, 0, 1, 2, 3])):
        undone = dice.choice(entries)
        total = sum((e.amount or 0) for e in entries if e.document == undone.document)
        value = dice.choice([None, None, Decimal(0), -Decimal(total), money(dice, 5)])
        late = dice.choice([0, 0, 1, 5, 10, -3])
        booked = undone.booking_date + datetime.timedelta(days=late)
        reversal = Entry(undone.customer_id, f"{name}/R{k}", "reversal", booked, value)
        entries.append(replace(reversal, against_document=undone.document))
    for _ in range(dice.choice([0, 0, 0, 1, 2])):  # dirt
        spoilt = dice.choice(entries)
        spoil = dice.choice(DIRT)
        if dice.random() < 0.5:
            entries.remove(spoilt)
        entries.append(spoil(spoilt, name))
    dice.shuffle(entries)
    return entries


DIRT = (
    lambda e, name: e,
    lambda e, name: replace(e, amount=(e.amount or 0) + 1),
    lambda e, name: replace(e, amount=-(e.amount or 1)),
    lambda e, name: replace(e, region="west"),
    lambda e, name: replace(e, customer_id=None),
    lambda e, name: replace(e, document=None),
    lambda e, name: replace(e, booking_date=None),
    lambda e, name: replace(e, amount=None),
    lambda e, name: replace(e, kind="gift"),
    lambda e, name: replace(e, kind=None),
    lambda e, name: replace(e, against_document=f"{name}/nowhere"),
    lambda e, name: replace(e, against_document=None),
    lambda e, name: replace(e, due_date=day(-1), end_date=day(-1)),
    lambda e, name: replace(e, due_date=None),
    lambda e, name: replace(e, fault="too_many_decimals", amount=None),
    lambda e, name: replace(e, document=f"{name}/I0", kind="payment_on_account"),
)


# --- the bookkeeper -----------------------------------------------------------------------------


def own_fault(e: Entry) -> str:
    if e.fault:
        return e.fault
    if e.customer_id is None:
        return "missing_customer_id"
    if e.document is None:
        return "missing_document"
    known = (*LOWERS, "invoice", "dispute", "reversal", "payment_on_account")
    if e.kind not in known:
        return "unknown_kind"
    if e.booking_date is None:
        return "unreadable_booking_date"
    if e.amount is None and e.kind not in ("dispute", "reversal"):
        return "amount_not_a_number"
    may_rise = e.kind == "payment_on_account"
    may_rise |= e.kind == "credit_note" and e.against_document is None
    sign = (e.amount or 0) and (1 if e.amount > 0 else -1)
    if may_rise:
        fits = sign != 0
    elif e.kind == "invoice":
        fits = sign == 1
    elif e.kind == "dispute":
        fits = sign == 0
    else:
        fits = sign == -1 or e.kind == "reversal"
    if not fits:
        return "wrong_sign"
    if e.kind == "invoice" and e.due_date is None:
        return "unreadable_due_date"
    if e.kind == "invoice" and e.due_date < e.booking_date:
        return "due_before_invoiced"
    if e.kind == "dispute" and e.end_date is not None and e.end_date < e.booking_date:
        return "ended_before_disputed"
    needs = ("write_off", "discount", "dispute", "reversal")
    if e.kind in needs and e.against_document is None:
        return "missing_against_document"
    if e.kind in ("invoice", "payment_on_account") and e.against_document is not None:
        return "needless_against_document"
    return ""


class Bookkeeper:
    """Keeps one ledger: a rule for every row, and the book on any day."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.rules = [own_fault(e) for e in entries]
        self.undone: dict[str, datetime.date] = {}
        self.find_copies()
        self.find_strangers()
        self.replay_reversals()
        self.find_latecomers()
        self.replay_claims()
        self.replay_accounts()

    def sound(self, *kinds: str) -> list[int]:
        """Return the places of accepted rows of some kinds, in order of day and row."""
        places = [
            k
            for k, e in enumerate(self.entries)
            if not self.rules[k] and (not kinds or e.kind in kinds)
        ]
        return sorted(places, key=lambda k: (self.entries[k].booking_date, k))

    def find_copies(self) -> None:
        alike = defaultdict(list)
        for k in sorted(self.sound()):
            e = self.entries[k]
            key = (e.kind, e.document)
            if e.kind != "invoice":
                key += (e.against_document or "", e.line or "")
            alike[key].append(k)
        for places in alike.values():
            facts = {
                (e.customer_id, e.booking_date, e.due_date, e.end_date, e.amount, e.region)
                for e in (self.entries[k] for k in places)
            }
            if len(facts) > 1:
                self.rules_of(places, "conflicting_copies")
            else:
                self.rules_of(places[1:], "identical_copy")

    def rules_of(self, places: list[int], rule: str) -> None:
        for k in places:
            self.rules[k] = rule

    def find_strangers(self) -> None:
        self.invoices = {self.entries[k].document: self.entries[k] for k in self.sound("invoice")}
        for k in self.sound(*LOWERS, "dispute"):
            e = self.entries[k]
            if e.against_document is None:
                continue
            invoice = self.invoices.get(e.against_document)
            if invoice is None:
                self.rules[k] = "unknown_against_document"
            elif e.booking_date < invoice.booking_date:
                self.rules[k] = "dated_before_document"

    def replay_reversals(self) -> None:
        documents = defaultdict(list)
        for k in self.sound():
            if self.entries[k].kind != "reversal":
                documents[self.entries[k].document].append(self.entries[k])
        for k in self.sound("reversal"):
            e = self.entries[k]
            there = documents.get(e.against_document, [])
            booked = [part for part in there if part.booking_date <= e.booking_date]
            kinds = {part.kind for part in booked}
            worth = sum((part.amount or Decimal(0)) for part in booked)
            if not there:
                self.rules[k] = "unknown_against_document"
            elif not booked:
                self.rules[k] = "dated_before_document"
            elif "invoice" in kinds and len(kinds) > 1:
                self.rules[k] = "ambiguous_reversal"
            elif e.amount and e.amount != -worth:
                self.rules[k] = "reversal_amount_differs"
            elif e.against_document in self.undone:
                self.rules[k] = "already_reversed"
            else:
                self.undone[e.against_document] = e.booking_date

    def find_latecomers(self) -> None:
        for k in self.sound():
            e = self.entries[k]
            ends = [self.undone.get(e.document), self.undone.get(e.against_document)]
            if e.kind != "reversal" and any(end and e.booking_date > end for end in ends):
                self.rules[k] = "booked_after_reversal"

    def stands(self, e: Entry, when: datetime.date) -> bool:
        """Whether an entry counts at the end of a day."""
        end = self.undone.get(e.document)
        return e.booking_date <= when and (end is None or end > when)

    def ever_stands(self, e: Entry) -> bool:
        return self.stands(e, e.booking_date)

    def replay_claims(self) -> None:
        claims = [k for k in self.sound(*LOWERS) if self.entries[k].against_document]
        claims = [k for k in claims if self.ever_stands(self.entries[k])]
        over = [k for k in claims if -self.entries[k].amount > self.worth(k)]
        claims = [k for k in claims if k not in over]
        for place, k in enumerate(claims):
            e = self.entries[k]
            before = [self.entries[earlier] for earlier in claims[: place + 1]]
            taken = -sum(
                b.amount
                for b in before
                if b.against_document == e.against_document and self.stands(b, e.booking_date)
            )
            if taken > self.worth(k):
                over.append(k)
        self.rules_of(over, "over_allocated")

    def worth(self, k: int) -> Decimal:
        """Return the amount of the invoice that an entry names."""
        return self.invoices[self.entries[k].against_document].amount

    def account(self) -> list[tuple[Entry, datetime.date, int]]:
        """Return what is on account: the entry, from which day, and its place."""
        moves = []
        for k in self.sound("payment", "credit_note", "payment_on_account"):
            e = self.entries[k]
            since = e.booking_date
            if e.against_document is not None:
                since = self.undone.get(e.against_document)
            if since is not None and self.stands(e, since):
                moves.append((e, since, k))
        return moves

    def replay_accounts(self) -> None:
        moves = self.account()
        bad = []
        for e, since, k in moves:
            if e.amount < 0:
                continue
            there = Decimal(0)
            for other, other_since, other_k in moves:
                same = other.customer_id == e.customer_id
                same &= (other.kind == "credit_note") == (e.kind == "credit_note")
                before = other_since <= since if other.amount < 0 else False
                before |= other.amount > 0 and (other_since, other_k) <= (since, k)
                if same and before and self.stands(other, since):
                    there -= other.amount
            if there < 0:
                bad.append(k)
        self.rules_of(bad, "on_account_overdrawn")

    def picture(self, when: datetime.date) -> dict[str, tuple[object, ...]]:
        """Return the invoices at the end of a day."""
        book = {}
        for number, invoice in self.invoices.items():
            if not self.stands(invoice, when):
                continue
            sums = self.sums(number, when)
            left = invoice.amount - sum(sums.values())
            settled = None
            if left == 0:
                settled = when
                while settled > invoice.booking_date and self.closed(
                    number, settled - datetime.timedelta(days=1)
                ):
                    settled -= datetime.timedelta(days=1)
            disputed = any(
                self.stands(self.entries[k], when)
                and self.entries[k].against_document == number
                and (self.entries[k].end_date is None or self.entries[k].end_date > when)
                for k in self.sound("dispute")
            )
            book[number] = (
                invoice.customer_id,
                invoice.booking_date,
                invoice.due_date,
                invoice.amount - sums["credit_note"],
                sums["payment"],
                sums["write_off"],
                left,
                settled,
                disputed,
                sums["credit_note"],
                sums["discount"],
                invoice.region,
            )
        return book

    def sums(self, number: str, when: datetime.date) -> dict[str, Decimal]:
        found = dict.fromkeys(LOWERS, Decimal(0))
        for k in self.sound(*LOWERS):
            e = self.entries[k]
            if e.against_document == number and self.stands(e, when):
                found[e.kind] -= e.amount
        return found

    def closed(self, number: str, when: datetime.date) -> bool:
        return sum(self.sums(number, when).values()) == self.invoices[number].amount

    def unapplied(self, when: datetime.date) -> dict[str, tuple[Decimal, Decimal]]:
        found: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
        for e, since, _ in self.account():
            if since <= when and self.stands(e, when):
                found[e.customer_id][e.kind == "credit_note"] -= e.amount
        return {name: tuple(pair) for name, pair in found.items() if any(pair)}


# --- the engine ---------------------------------------------------------------------------------

SCHEMA = ibis.schema(
    {
        "row": "int64",
        "customer_id": "string",
        "document": "string",
        "kind": "string",
        "booking_date": "date",
        "amount": "decimal(18, 4)",
        "against_document": "string",
        "due_date": "date",
        "end_date": "date",
        "line": "string",
        "region": "string",
        "fault": "string",
    }
)


class Engine:
    """An embedded DuckDB that holds the entries of many ledgers at once."""

    def __init__(self, entries: list[Entry]) -> None:
        self.connection = ibis.duckdb.connect()
        rows = [
            {name: getattr(e, name, None) for name in SCHEMA} | {"row": k}
            for k, e in enumerate(entries)
        ]
        self.connection.con.register("raw", pa.Table.from_pylist(rows, SCHEMA.to_pyarrow()))
        self.raw = ops.DatabaseTable("raw", schema=SCHEMA, source=self.connection).to_expr()
        self.judged = judge_entries(self.raw, ["region"], self.store)

    def store(self, name: str, table: ibis.Table) -> ibis.Table:
        sql = self.connection.compile(table)
        self.connection.con.execute(f"CREATE TEMP TABLE {name} AS {sql}")
        return ops.DatabaseTable(name, schema=table.schema(), source=self.connection).to_expr()

    def rows(self, table: ibis.Table) -> list[dict[str, object]]:
        return self.connection.to_pyarrow(table).to_pylist()

    def rules(self) -> list[str]:
        return [r["rule"] for r in self.rows(self.judged.select("row", "rule").order_by("row"))]

    def pictures(self, days: list[datetime.date]) -> tuple[list[dict[str, object]], ...]:
        """Return the invoices and the money on account on several days, in a query each."""
        accepted = self.judged.filter(self.judged.rule == "")
        books, accounts = [], []
        for when in days:
            book = invoices_from_entries(accepted, when, ["region"])
            books.append(book.mutate(as_of=ibis.literal(when)))
            accounts.append(unapplied_on(accepted, when).mutate(as_of=ibis.literal(when)))
        return self.rows(ibis.union(*books)), self.rows(ibis.union(*accounts))


BOOK = (
    "customer_id",
    "invoice_date",
    "due_date",
    "amount",
    "collected",
    "written_off",
    "open",
    "settled_date",
    "disputed",
    "credited",
    "discount",
    "region",
)


@pytest.mark.parametrize("seed", range(3))
def test_every_ledger_agrees_with_the_bookkeeper_on_every_day(seed):
    dice = random.Random(seed)
    ledgers = [random_ledger(dice, f"L{k}") for k in range(LEDGERS)]
    keepers = [Bookkeeper(entries) for entries in ledgers]
    entries = [e for ledger in ledgers for e in ledger]
    engine = Engine(entries)

    # Every row once, under the bookkeeper's rule; accepted + rejected = read, in rows and money.
    rules = engine.rules()
    assert rules == [rule for keeper in keepers for rule in keeper.rules]
    t = engine.judged
    sides = t.group_by(accepted=t.rule == "").aggregate(rows=t.count(), money=t.amount.sum())
    sides = engine.rows(sides)
    assert sum(side["rows"] for side in sides) == len(entries)
    assert sum(side["money"] for side in sides) == sum(e.amount or 0 for e in entries)

    # Every invoice to the cent, on every day, and what is on account.
    days = [day(k) for k in PICTURES]
    books, accounts = engine.pictures(days)
    found = {(r["as_of"], r["invoice_id"]): tuple(r[name] for name in BOOK) for r in books}
    assert len(found) == len(books)
    expected = {}
    for keeper in keepers:
        for when in days:
            expected |= {(when, number): row for number, row in keeper.picture(when).items()}
    assert found == expected
    for _, _, _, amount, collected, lost, left, _, _, credited, discount, _ in found.values():
        assert collected + discount + lost + left == amount
        assert min(amount, collected, lost, left, credited, discount) >= 0
    cash = {
        (r["as_of"], r["customer_id"]): (r["unapplied_cash"], r["unapplied_credit"])
        for r in accounts
    }
    assert len(cash) == len(accounts)
    assert cash == {
        (when, name): pair
        for keeper in keepers
        for when in days
        for name, pair in keeper.unapplied(when).items()
    }


# --- files --------------------------------------------------------------------------------------

IDS = ("customer_id", "document", "against_document", "line")
COLUMNS = (*IDS, "kind", "booking_date", "due_date", "end_date", "amount", "region")
FINE = Decimal("0.00001")  # what the reader finds too fine


def cells(e: Entry) -> dict[str, object]:
    return {name: getattr(e, name) for name in COLUMNS} | ({"amount": FINE} if e.fault else {})


def typed_file(entries: list[Entry], path: Path) -> None:
    """Write dates as dates and money as exact decimals, with room for what is too fine."""
    types = {name: SCHEMA[name].to_pyarrow() for name in COLUMNS}
    types["amount"] = pa.decimal128(18, 5)
    pq.write_table(pa.Table.from_pylist(list(map(cells, entries)), pa.schema(types)), path)


def text_file(entries: list[Entry], path: Path, loose: dict[int, str]) -> None:
    """Write everything as text, with space around one id of the rows that are loose."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for k, e in enumerate(entries):
            row = cells(e)
            if k in loose:
                row[loose[k]] = f" {row[loose[k]] or ''} "
            writer.writerow(row)


def plain(cell: object) -> object:
    """Return a cell of pandas as Python has it, None where it is blank."""
    if pd.isna(cell) or cell == "":
        return None
    return cell.date() if isinstance(cell, pd.Timestamp) else cell


@pytest.mark.parametrize(("seed", "form"), [(3, "parquet"), (4, "csv")])
def test_a_file_of_many_ledgers_agrees_with_the_bookkeeper(seed, form, tmp_path):
    dice = random.Random(seed)
    ledgers = [random_ledger(dice, f"L{k}") for k in range(LEDGERS)]
    keepers = [Bookkeeper(entries) for entries in ledgers]
    entries = [e for ledger in ledgers for e in ledger]
    rules = [rule for keeper in keepers for rule in keeper.rules]
    path = tmp_path / f"entries.{form}"
    loose: dict[int, str] = {}
    if form == "csv":
        loose = {k: dice.choice(IDS) for k in range(len(entries)) if dice.random() < 0.2}
        text_file(entries, path, loose)
    else:
        typed_file(entries, path)
    ledger = open_entries(path, as_of=day(max(PICTURES)), groups=["region"])

    # Every row once, under the bookkeeper's rule; accepted + rejected = read, in rows and money.
    q = ledger.quality
    found = dict(zip(q.rejected["row"], q.rejected["rule"], strict=True))
    assert found == {row: rule for row, rule in enumerate(rules, start=1) if rule}
    assert q.source_rows == q.rows_read == q.rows_accepted + q.rows_rejected == len(entries)
    accepted = [e for e, rule in zip(entries, rules, strict=True) if not rule]
    assert q.amount_accepted == sum(e.amount or 0 for e in accepted)
    assert q.amount_read == sum(e.amount or 0 for e in entries)

    # What was trimmed, over accepted rows: where nothing is there, nothing was.
    trimmed = [k for k, name in loose.items() if not rules[k] and getattr(entries[k], name)]
    findings = q.findings.set_index("finding")
    assert ("trimmed_ids" in findings.index) == (form == "csv") == (len(trimmed) > 20)
    if trimmed:
        money = sum(entries[k].amount or 0 for k in trimmed)
        assert tuple(findings.loc["trimmed_ids", ["rows", "amount"]]) == (len(trimmed), money)

    # Every invoice to the cent, on every day; of those credited in full how many there are.
    for when in map(day, PICTURES):
        one = ledger.on(when)
        rows = one.to_frame()[["invoice_id", *BOOK]].itertuples(index=False, name=None)
        book = {number: row for keeper in keepers for number, row in keeper.picture(when).items()}
        assert {number: tuple(map(plain, row)) for number, *row in rows} == {
            number: row for number, row in book.items() if row[3] > 0
        }
        counts = one.quality.findings.set_index("finding")["rows"]
        assert counts.get("credited_in_full", 0) == sum(row[3] == 0 for row in book.values())
        cash = one.unapplied()
        assert dict(zip(cash.index, map(tuple, cash.to_numpy()), strict=True)) == {
            name: tuple(map(float, pair))
            for keeper in keepers
            for name, pair in keeper.unapplied(when).items()
        }


def test_the_dice_draw_every_fault_that_an_entry_can_have_by_itself_or_among_others():
    rules: Counter[str] = Counter()
    for seed in range(5):
        dice = random.Random(seed)
        for k in range(LEDGERS):
            rules.update(Bookkeeper(random_ledger(dice, f"L{k}")).rules)
    of_the_reader = {
        "malformed_row",
        "marked_void",
        "unmapped_row",
        "unreadable_side",
        "unmatched_link",
        "bad_discount",
        "amount_too_large",
        "other_currency",
        "implausible_date",
    }
    assert rules[""] > 2_000
    assert {*ENTRY_RULE} - of_the_reader == {*rules} - {""}


@pytest.mark.parametrize("until", [9, 17, 30])
def test_a_past_day_looks_the_same_without_all_that_was_booked_after_it(until):
    dice = random.Random(until)
    ledgers = [random_ledger(dice, f"L{k}") for k in range(LEDGERS)]
    # Copies that differ are a fault of the file, and known on any day.
    clean = [ls for ls in ledgers if "conflicting_copies" not in Bookkeeper(ls).rules]
    entries = [e for ledger in clean for e in ledger]
    past = [e for e in entries if e.booking_date is not None and e.booking_date <= day(until)]
    assert len(past) < len(entries)
    seen = [Engine(part).pictures([day(until)]) for part in (entries, past)]
    (whole, whole_cash), (cut, cut_cash) = seen
    assert {tuple(r.values()) for r in whole} == {tuple(r.values()) for r in cut}
    assert {tuple(r.values()) for r in whole_cash} == {tuple(r.values()) for r in cut_cash}
    assert len(whole) == len(cut) > 10
