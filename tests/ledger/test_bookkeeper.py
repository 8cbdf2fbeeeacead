"""Random small ledgers, dirt included, against a bookkeeper who uses nothing but plain Python."""

from __future__ import annotations

import csv
import datetime
import io
import re
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st

from credit_portfolio.errors import DataError
from credit_portfolio.ledger.source import open_ledger

AS_OF = datetime.date(2024, 3, 1)
COLUMNS = [
    "customer_id",
    "invoice_id",
    "invoice_date",
    "due_date",
    "amount",
    "settled_date",
    "settled_amount",
    "written_off_amount",
    "disputed",
    "region",
]

days = st.integers(-60, 60).map(lambda k: (AS_OF + datetime.timedelta(days=k)).isoformat())
cents = st.integers(0, 5000).map(lambda k: f"{k / 100:.2f}")
fine = st.integers(1, 100_000).map(lambda k: f"{Decimal(k) / 10000:.4f}")
row = st.fixed_dictionaries(
    {
        "customer_id": st.sampled_from(["C1", "C1", "C2", "007", "7", "<b>", "a;b,c", ""]),
        "invoice_id": st.integers(1, 8).map(str),
        "invoice_date": days | st.sampled_from(["", "2024-02-30", "1.2.2024"]),
        "due_date": days | days | st.sampled_from(["", "net 30"]),
        "amount": cents | cents | fine | st.sampled_from(["", "x", "-1.00", "0.12345", "inf"]),
        "settled_date": st.just("") | days | st.just("never"),
        "settled_amount": st.just("") | st.just("") | cents | st.sampled_from(["-2.00", "nan"]),
        "written_off_amount": st.just("") | st.just("") | cents | st.sampled_from(["?", "-2.00"]),
        "disputed": st.sampled_from(["", "yes", "No", "TRUE", "perhaps"]),
        "region": st.sampled_from(["north", "south", ""]),
    }
)


def settled_after(start: int, wait: int | str) -> datetime.date:
    """Return a settled date, not before the invoice; the day itself is the edge to hit."""
    return AS_OF + datetime.timedelta(days=max(start, 0) if wait == "on the day" else start + wait)


# Most rows are sound, so that most books open: due and settled follow the invoice.
sound = st.builds(
    lambda i, customer, start, terms, wait, amount, paid, lost, region: {
        "customer_id": customer,
        "invoice_id": f"S{i}",
        "invoice_date": (AS_OF + datetime.timedelta(days=start)).isoformat(),
        "due_date": (AS_OF + datetime.timedelta(days=start + terms)).isoformat(),
        "amount": f"{Decimal(amount) / 100:.2f}",
        "settled_date": "" if wait is None else settled_after(start, wait).isoformat(),
        "settled_amount": ""
        if wait is None or paid is None
        else f"{Decimal(amount * paid // 200) / 100:.2f}",
        "written_off_amount": f"{Decimal(amount * lost // 200) / 100:.2f}" if lost else "",
        "disputed": "yes" if lost else "no",
        "region": region,
    },
    st.integers(1, 40),
    st.sampled_from(["C1", "C2", "007", "7"]),
    st.integers(-150, 20),
    st.sampled_from([0, 10, 30]),
    st.none() | st.integers(0, 120) | st.just("on the day"),
    st.integers(1, 999_999),
    st.none() | st.integers(0, 100),
    st.sampled_from([0, 0, 40, 100]),
    st.sampled_from(["north", "south", ""]),
)
book = st.lists(sound | sound | row, min_size=1, max_size=14)


def date(text: str) -> datetime.date | None:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return None
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None


def money(text: str) -> Decimal | None:
    return Decimal(text) if re.fullmatch(r"-?\d+\.\d+", text) else None


def first_fault(r: dict[str, str]) -> str:
    """Return the first rule that a row breaks by itself, empty when none."""
    invoiced, due, settled = (date(r[k]) for k in ("invoice_date", "due_date", "settled_date"))
    amount, paid, lost = (money(r[k]) for k in ("amount", "settled_amount", "written_off_amount"))
    if not r["customer_id"]:
        return "missing_customer_id"
    if invoiced is None:
        return "unreadable_invoice_date"
    if due is None:
        return "unreadable_due_date"
    if r["settled_date"] and settled is None:
        return "unreadable_settled_date"
    if amount is None:
        return "amount_not_a_number"
    if amount <= 0:
        return "amount_not_positive"
    if r["settled_amount"] and (paid is None or paid < 0):
        return "bad_settled_amount"
    if r["written_off_amount"] and (lost is None or lost < 0):
        return "bad_written_off_amount"
    if amount != round(amount, 4):
        return "too_many_decimals"
    if paid and settled is None:
        return "settled_amount_without_date"
    if (paid or 0) + (lost or 0) > amount:
        return "settled_above_amount"
    if due < invoiced:
        return "due_before_invoiced"
    if settled is not None and settled < invoiced:
        return "settled_before_invoiced"
    if r["disputed"].lower() not in ("", "yes", "no", "true"):
        return "unknown_disputed_word"
    return ""


def meaning(r: dict[str, str]) -> tuple[object, ...]:
    """Return what a sound row says, however it is written."""
    amount, lost = money(r["amount"]), money(r["written_off_amount"]) or Decimal(0)
    paid = money(r["settled_amount"]) or Decimal(0)
    if r["settled_date"] and not r["settled_amount"]:
        paid = amount - lost
    disputed = r["disputed"].lower() in ("yes", "true")
    dates = tuple(date(r[k]) for k in ("invoice_date", "due_date", "settled_date"))
    return (r["customer_id"], *dates, amount, paid, lost, disputed, r["region"])


def verdicts(rows: list[dict[str, str]]) -> list[str]:
    """Return the rule that each row is rejected under, empty when accepted."""
    rules = [first_fault(r) for r in rows]
    places = defaultdict(list)
    for place, (r, rule) in enumerate(zip(rows, rules, strict=True)):
        if not rule:
            places[r["invoice_id"]].append(place)
    for copies in places.values():
        alike = len({meaning(rows[place]) for place in copies}) == 1
        for place in copies[1:] if alike else copies:
            rules[place] = "identical_copy" if alike else "conflicting_copies"
        if len(copies) == 1:
            rules[copies[0]] = ""
    return rules


DATES = ("invoice_date", "due_date", "settled_date")
MONEY = ("amount", "settled_amount", "written_off_amount")
YES = {"yes": True, "no": False, "true": True}


def csv_file(rows: list[dict[str, str]], path: Path) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), newline="")
    return path


def sayable(r: dict[str, str]) -> dict[str, str]:
    """Return a row with what no typed column can say left blank."""
    less = {name: r[name] if date(r[name]) else "" for name in DATES}
    less |= {name: "" if money(r[name]) is None else r[name] for name in MONEY}
    return r | less | {"disputed": r["disputed"] if r["disputed"].lower() in YES else ""}


def typed_file(rows: list[dict[str, str]], path: Path) -> Path:
    """Write dates as dates, money as exact decimals, flags as flags; blank cells are null."""
    typed = [
        r
        | {name: date(r[name]) for name in DATES}
        | {name: money(r[name]) for name in MONEY}
        | {"disputed": YES.get(r["disputed"].lower())}
        for r in rows
    ]
    types = dict.fromkeys(COLUMNS, pa.string()) | dict.fromkeys(DATES, pa.date32())
    types |= {"disputed": pa.bool_(), "amount": pa.decimal128(18, 5)}
    types |= dict.fromkeys(MONEY[1:], pa.decimal128(12, 2))
    pq.write_table(pa.Table.from_pylist(typed, pa.schema(types)), path)
    return path


@settings(max_examples=45)
@given(rows=book, form=st.sampled_from(["frame", "csv", "parquet"]))
def test_a_ledger_agrees_with_the_bookkeeper(rows, form, tmp_path_factory):
    source: object = pd.DataFrame(rows, columns=COLUMNS)
    options: dict[str, object] = {"as_of": AS_OF, "decimal": "."}
    if form == "csv":
        source = csv_file(rows, tmp_path_factory.mktemp("book") / "book.csv")
    elif form == "parquet":
        rows = [sayable(r) for r in rows]
        source = typed_file(rows, tmp_path_factory.mktemp("book") / "book.parquet")
        del options["decimal"]
    rules = verdicts(rows)
    kept = [meaning(r) for r, rule in zip(rows, rules, strict=True) if not rule]
    if not kept:
        with pytest.raises(DataError, match="none of the") as caught:
            open_ledger(source, **options)
        assert list(caught.value.failures["rule"]) == rules
        return
    if min(r[1] for r in kept) > AS_OF:
        with pytest.raises(DataError, match="first invoice"):
            open_ledger(source, **options)
        return
    ledger = open_ledger(source, **options)
    quality = ledger.quality

    # Rows: each is accepted, or rejected under the bookkeeper's rule; none is lost.
    found = dict(zip(quality.rejected["row"], quality.rejected["rule"], strict=True))
    assert found == {place: rule for place, rule in enumerate(rules, start=1) if rule}
    assert quality.source_rows == quality.rows_read == len(rows)
    assert quality.rows_read == quality.rows_accepted + quality.rows_rejected
    assert quality.rules.set_index("rule")["rows"].sum() == quality.rows_rejected
    counted = quality.rules.set_index("rule")["rows"]
    assert {k: n for k, n in counted.items() if n} == Counter(rule for rule in rules if rule)

    # Money of each side.
    readable = [(money(r["amount"]), rule) for r, rule in zip(rows, rules, strict=True)]
    readable = [(m if m is not None and m == round(m, 4) else None, k) for m, k in readable]
    assert quality.amount_read == sum(m for m, _ in readable if m is not None)
    assert quality.amount_rejected == sum(m for m, k in readable if k and m is not None)
    assert quality.amount_accepted == sum(r[4] for r in kept)
    assert quality.rows_without_readable_amount == sum(m is None for m, _ in readable)

    # Positions, invoice by invoice.
    known = [r for r in kept if r[1] <= AS_OF]
    assert quality.rows_after_as_of == len(kept) - len(known)
    expected = []
    for customer, invoiced, due, settled, amount, paid, lost, disputed, _ in known:
        if settled is not None and settled > AS_OF:
            settled, paid, lost = None, Decimal(0), Decimal(0)
        open_ = amount - paid - lost
        expected.append((customer, invoiced, due, amount, paid, lost, open_, settled, disputed))
        assert open_ >= 0
    frame = ledger.to_frame()
    for name in ("invoice_date", "due_date", "settled_date"):
        frame[name] = [None if pd.isna(d) else d.date() for d in frame[name]]
    columns = ["customer_id", "invoice_date", "due_date", "amount", "collected", "written_off"]
    columns += ["open", "settled_date", "disputed"]
    got = Counter(frame[columns].itertuples(index=False, name=None))
    assert got == Counter(expected)

    # Totals, exposure and ageing add up.
    totals = quality.control_totals["money"]
    for place, name in ((3, "amount"), (4, "collected"), (5, "written_off"), (6, "open")):
        assert totals[name] == sum(r[place] for r in expected)
    assert totals["amount"] == totals["collected"] + totals["written_off"] + totals["open"]
    owed: dict[str, Decimal] = defaultdict(Decimal)
    aged: dict[str, Decimal] = defaultdict(Decimal)
    for r in expected:
        owed[r[0]] += r[6]
        late = (AS_OF - r[2]).days
        edges = ((0, "not_due"), (30, "1-30"), (60, "31-60"), (90, "61-90"))
        aged[next((name for most, name in edges if late <= most), "over 90")] += r[6]
    assert ledger.exposure().to_dict() == {name: float(sum_) for name, sum_ in owed.items()}
    ageing = ledger.ageing(exact=True)
    assert ageing["total"].to_dict() == dict(owed)
    for name in ageing.columns.drop("total"):
        assert ageing[name].sum() == aged[name]
    assert ledger.n_open == sum(r[6] > 0 for r in expected)
