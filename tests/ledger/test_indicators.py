"""Each indicator: the published numbers, and a bookkeeper who uses nothing but plain Python."""

from __future__ import annotations

import calendar
import datetime
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from credit_portfolio.errors import ModelError
from credit_portfolio.ledger import indicators as kpi
from credit_portfolio.ledger.source import open_ledger

AS_OF = datetime.date(2024, 6, 30)
DAY = datetime.timedelta(days=1)

# Decimal sums against exact fractions: what is left is one division in binary floats.
EXACT = 1e-12


def day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


def test_days_sales_outstanding_of_the_textbooks(book):
    # 12,000 open, 30,000 sold in 90 days: 36 days.
    old = {"invoice_date": "2024-01-02", "due_date": "2024-02-01", "settled_date": "2024-02-20"}
    new = {"invoice_date": "2024-06-10", "due_date": "2024-07-10", "amount": "12000"}
    paid = {"invoice_date": "2024-05-10", "due_date": "2024-06-09", "amount": "18000"}
    ledger = open_ledger(book(old, new, paid | {"settled_date": "2024-06-12"}), as_of=AS_OF)
    assert kpi.days_sales_outstanding(ledger)["total"] == 36
    assert kpi.best_possible_days(ledger)["total"] == 36
    assert kpi.average_days_delinquent(ledger)["total"] == 0
    assert kpi.days_beyond_terms(ledger)["total"] == 3
    assert kpi.days_to_pay(ledger)["total"] == 33


def test_days_sales_outstanding_over_three_months_of_sales(book):
    # Oracle JD Edwards: 10,869 open on sales of 5,538, 4,566 and 7,570 are 55.35 days.
    sales = {"2024-04-10": 5538, "2024-05-10": 4566, "2024-06-10": 7570}
    rows = [
        {"invoice_date": date, "due_date": "2024-07-15", "amount": str(amount)}
        for date, amount in sales.items()
    ]
    part = 5538 + 4566 + 7570 - 10869
    rows[2] |= {"settled_date": "2024-06-20", "settled_amount": str(part)}
    first = {"invoice_date": "2024-03-01", "due_date": "2024-03-31", "settled_date": "2024-03-31"}
    ledger = open_ledger(book(first, *rows), as_of=AS_OF)
    assert round(kpi.days_sales_outstanding(ledger)["total"], 2) == 55.35


def test_collection_effectiveness_is_the_formula_of_the_textbooks(book):
    # 100 open before, 300 sold, 150 open now of which 120 not yet due: (400-150)/(400-120).
    rows = [
        {"invoice_date": "2024-03-01", "due_date": "2024-03-31", "amount": "30"},
        {
            "invoice_date": "2024-03-01",
            "due_date": "2024-03-31",
            "amount": "70",
            "settled_date": "2024-04-20",
        },
        {"invoice_date": "2024-06-15", "due_date": "2024-07-15", "amount": "120"},
        {
            "invoice_date": "2024-05-01",
            "due_date": "2024-05-31",
            "amount": "180",
            "settled_date": "2024-05-31",
        },
    ]
    ledger = open_ledger(book(*rows), as_of=AS_OF)
    cei = kpi.collection_effectiveness(ledger)["total"]
    assert cei == pytest.approx(100 * (100 + 300 - 150) / (100 + 300 - 120), rel=EXACT)


def test_countback_uses_whole_months_and_a_part_of_the_last(book):
    # June sold 100, May nothing, April 300 of which 150 are open: 30 + 31 + 15 days.
    april = {"invoice_date": "2024-04-03", "due_date": "2024-05-03", "amount": "300"}
    april |= {"settled_date": "2024-05-03", "settled_amount": "150"}
    june = {"invoice_date": "2024-06-03", "due_date": "2024-07-03", "amount": "100"}
    ledger = open_ledger(book(april, june), as_of=AS_OF)
    assert kpi.countback_days(ledger)["total"] == pytest.approx(30 + 31 + 30 / 2, rel=EXACT)
    middle = open_ledger(book(april, june), as_of="2024-06-10")
    assert kpi.countback_days(middle)["total"] == pytest.approx(10 + 31 + 30 / 2, rel=EXACT)


def test_concentration_of_the_ibm_ledger(ibm_ledger_csv: Path):
    ledger = open_ledger(ibm_ledger_csv, profile="ibm", as_of="2013-12-31")
    spread = kpi.concentration(ledger, of="amount").loc["total"]
    assert spread["n"] == 100
    assert round(spread["hhi"], 5) == 0.01092


def test_roll_rates_and_their_product_by_hand(book):
    # On 31 May: 1,000 not due, 500 at 1-30 days, 200 at 31-60.
    def row(due: str, amount: int, **more: str) -> dict[str, str]:
        return {"invoice_date": "2024-01-02", "due_date": due, "amount": str(amount)} | more

    ledger = open_ledger(
        book(
            row("2024-06-10", 400),
            row("2024-06-10", 600, settled_date="2024-06-20"),
            row("2024-05-20", 125),
            row("2024-05-20", 375, settled_date="2024-06-05"),
            row("2024-04-20", 200, settled_date="2024-06-01", written_off_amount="150"),
        ),
        as_of=AS_OF,
    )
    moved = kpi.transitions(ledger, "2024-05-31")
    assert moved["opening"].to_list() == [1000, 500, 200, 0, 0]
    assert moved.loc["not_due", "1-30"] == 0.4
    assert moved.loc["1-30", ["31-60", "collected"]].to_list() == [0.25, 0.75]
    assert moved.loc["31-60", ["collected", "written_off"]].to_list() == [0.25, 0.75]
    rates = kpi.roll_rates(ledger, datetime.date(2024, 5, 31)).loc["total"]
    assert rates.to_list()[:3] == [0.4, 0.25, 0.0]
    assert rates[["61-90", "over 90"]].isna().all()


def test_no_sales_is_not_a_number_and_never_nought(book):
    quiet = {"customer_id": "Q", "invoice_date": "2023-01-10", "due_date": "2023-02-09"}
    settled = {"customer_id": "S", "invoice_date": "2023-01-10", "settled_date": "2024-02-09"}
    new = {"invoice_date": "2024-06-01", "due_date": "2024-07-01"}
    ledger = open_ledger(book(quiet, settled, new), as_of=AS_OF)
    table = kpi.indicators(ledger, by="customer_id")
    of_sales = [
        "days_sales_outstanding",
        "best_possible_days",
        "average_days_delinquent",
        "bad_debt_ratio",
        "dispute_rate",
    ]
    assert table.loc[["Q", "S"], of_sales].isna().all(axis=None)
    assert table.loc["C1", of_sales].notna().all()
    assert table["days_to_pay"].isna().all()  # S paid before the window
    assert np.isnan(table.loc["S", "over_90_share"])
    assert np.isnan(table.loc["S", "collection_effectiveness"])
    assert table.loc["Q", "collection_effectiveness"] == 0
    assert table.loc["S", "countback_days"] == 0
    assert not np.isinf(table.to_numpy()).any()


def test_the_window_never_reaches_before_the_first_invoice(book):
    ledger = open_ledger(
        book({"invoice_date": "2024-06-21", "due_date": "2024-07-21"}), as_of=AS_OF
    )
    assert kpi.indicators(ledger).loc["total", "days"] == 10
    assert kpi.indicators(ledger, days=3).loc["total", "days"] == 3
    assert kpi.days_sales_outstanding(ledger, days=10**6)["total"] == 10


def test_the_table_has_the_columns_that_are_described(book):
    ledger = open_ledger(book({}, {"customer_id": "C2", "region": None}), as_of=AS_OF)
    names = [i.name for i in kpi.INDICATORS]
    assert list(kpi.indicators(ledger).columns) == names
    by_customer = kpi.indicators(ledger, by="customer_id")
    assert list(by_customer.columns) == names[:-4]
    assert by_customer.index.to_list() == ["C1", "C2"]
    assert kpi.indicators(ledger, by="region").index.to_list() == ["", "north"]
    assert kpi.indicators(ledger, by="disputed").index.to_list() == [False]
    assert (kpi.indicators(ledger, by="region").dtypes == "float64").all()
    assert {i.unit for i in kpi.INDICATORS} == {
        "money", "days", "count", "number", "share", "index",
    }  # fmt: skip


def test_every_indicator_stands_in_its_page():
    page = Path(__file__).parents[2] / "docs" / "indicators.md"
    text = page.read_text(encoding="utf-8")
    assert [i.name for i in kpi.INDICATORS if f"`{i.name}`" not in text] == []


def test_a_group_of_numbers_may_have_gaps(book):
    frame = book({}, {"customer_id": "C2"}, {"customer_id": "C3"}).drop(columns="region")
    ledger = open_ledger(frame.assign(grade=[2.0, 1.0, None]), as_of=AS_OF)
    table = kpi.indicators(ledger, by="grade", over=2)
    assert table.loc[2.0, "open"].to_list() == [100, 100]
    assert table["open"].sum() == 600
    assert kpi.roll_rates(ledger, by="grade").shape == (3, 5)
    assert kpi.transitions(ledger, by="grade")["opening"].sum() == 300


def test_the_series_has_the_day_and_the_month_ends_before_it(book):
    rows = [{}, {"invoice_date": "2024-03-15", "due_date": "2024-04-14", "region": "south"}]
    ledger = open_ledger(book(*rows), as_of="2024-04-10")
    steps = []
    table = kpi.indicators(ledger, over=3, progress=lambda done, of: steps.append((done, of)))
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert table.index.name == "day"
    assert [f"{d:%Y-%m-%d}" for d in table.index] == ["2024-02-29", "2024-03-31", "2024-04-10"]
    assert table["open"].to_list() == [100, 200, 200]
    assert len(kpi.indicators(ledger, over=99)) == 4  # no month end before the first invoice
    both = kpi.indicators(ledger, by="region", over=3)
    assert both.index.names == ["region", "day"]
    assert len(both) == 3 + 2  # the south has no row before its first invoice


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda k: kpi.indicators(k, by="regon"), "Did you mean 'region'"),
        (lambda k: kpi.indicators(k, days=0), "days is 0"),
        (lambda k: kpi.indicators(k, over=True), "over is True"),
        (lambda k: kpi.days_to_pay(k, by="amount"), "by 'amount'"),
        (lambda k: kpi.bad_debt_ratio(k, days=1.5), "days is 1.5"),
        (lambda k: kpi.countback_days(k, by="x"), "by 'x'"),
        (lambda k: kpi.concentration(k, of="opne"), "Did you mean 'open'"),
        (lambda k: kpi.concentration(k, top=(0,)), "whole numbers from 1"),
        (lambda k: kpi.concentration(k, within="x"), "by 'x'"),
        (lambda k: kpi.transitions(k, "2024-06-30"), "a day before the ledger's 2024-06-30"),
        (lambda k: kpi.transitions(k, "May"), "such as '2013-09-30'"),
        (lambda k: kpi.roll_rates(k, edges=(60, 30)), "increase"),
    ],
)
def test_what_makes_no_sense_is_a_model_error(book, call, words):
    with pytest.raises(ModelError, match=words):
        call(open_ledger(book({}), as_of=AS_OF))


def test_names_that_look_like_code_are_only_names(book):
    name = "x'; drop table invoices; --"
    frame = book({"customer_id": name, "region": name}).rename(columns={"region": name})
    ledger = open_ledger(frame, as_of=AS_OF)
    assert kpi.indicators(ledger, by=name).index.to_list() == [name]
    assert kpi.roll_rates(ledger, by=name).index.to_list() == [name]


# --- random ledgers against plain Python --------------------------------------------------------

invoice = st.builds(
    lambda i, customer, start, terms, wait, amount, paid, lost, flag, region: {
        "customer_id": customer,
        "invoice_id": str(i),
        "invoice_date": AS_OF - start * DAY,
        "due_date": AS_OF - (start - terms) * DAY,
        "amount": Fraction(amount, 100),
        "settled_date": None if wait is None else AS_OF - (start - wait) * DAY,
        "paid": Fraction(0 if wait is None else amount * paid // 100, 100),
        "lost": Fraction(amount * lost // 100, 100),
        "disputed": flag,
        "region": region,
    },
    st.integers(1, 10**6),
    st.sampled_from(["C1", "C2", "C3", "007"]),
    st.integers(-20, 250),
    st.sampled_from([0, 10, 30, 60]),
    st.none() | st.integers(0, 200),
    st.integers(1, 99_999),
    st.sampled_from([100, 100, 60, 0]),
    st.sampled_from([0, 0, 0, 40]),
    st.booleans(),
    st.sampled_from(["north", "south", ""]),
).map(lambda r: r | {"lost": min(r["lost"], r["amount"] - r["paid"])})
books = st.lists(invoice, min_size=1, max_size=12, unique_by=lambda r: r["invoice_id"]).map(
    lambda rows: [
        *rows,
        # One of old, so that every window is whole, and one that today still is open.
        {**rows[0], "invoice_id": "first", "invoice_date": AS_OF - 300 * DAY,
         "due_date": AS_OF - 270 * DAY, "settled_date": AS_OF - 200 * DAY},
    ]
)  # fmt: skip


def opened(rows, as_of=AS_OF):
    def text(value):
        return "" if value is None else str(value)

    frame = pd.DataFrame(
        {
            "customer_id": [r["customer_id"] for r in rows],
            "invoice_id": [r["invoice_id"] for r in rows],
            "invoice_date": [text(r["invoice_date"]) for r in rows],
            "due_date": [text(r["due_date"]) for r in rows],
            "amount": [f"{float(r['amount']):.2f}" for r in rows],
            "settled_date": [text(r["settled_date"]) for r in rows],
            "settled_amount": [f"{float(r['paid']):.2f}" for r in rows],
            "written_off_amount": [f"{float(r['lost']):.2f}" for r in rows],
            "disputed": ["yes" if r["disputed"] else "no" for r in rows],
            "region": [r["region"] for r in rows],
        }
    )
    return open_ledger(frame, as_of=as_of, decimal=".")


def known(r, on):
    """Return what was collected, lost and open on a day, and the settled date as far as known."""
    settled = r["settled_date"] is not None and r["settled_date"] <= on
    paid = r["paid"] if settled else Fraction(0)
    lost = r["lost"] if settled or r["settled_date"] is None else Fraction(0)
    return paid, lost, r["amount"] - paid - lost, r["settled_date"] if settled else None


def ratio(above, below):
    return float(above / below) if below else np.nan


def countback(rows, on):
    """Exhaust the open money month by month, the way the method is told."""
    left = sum(known(r, on)[2] for r in rows)
    year, month, days = on.year, on.month, Fraction(0)
    while left > 0:
        length = calendar.monthrange(year, month)[1]
        if (year, month) == (on.year, on.month):
            length = on.day
        sold = sum(
            r["amount"]
            for r in rows
            if (r["invoice_date"].year, r["invoice_date"].month) == (year, month)
        )
        if left >= sold:
            days, left = days + length, left - sold
        else:
            days, left = days + length * left / sold, Fraction(0)
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
    return float(days)


def plain(rows, on, days, all_open):
    """Return the indicators of rows that are dated up to a day, in exact fractions."""
    begin = on - days * DAY
    then = [known(r, begin) for r in rows if r["invoice_date"] <= begin]
    now = [known(r, on) for r in rows]
    new = [r for r in rows if r["invoice_date"] > begin]
    open_ = sum(k[2] for k in now)
    not_due = sum(k[2] for r, k in zip(rows, now, strict=True) if r["due_date"] >= on)
    old = sum(k[2] for r, k in zip(rows, now, strict=True) if (on - r["due_date"]).days > 90)
    sales = sum(r["amount"] for r in new)
    lost = sum(k[1] for k in now) - sum(k[1] for k in then)
    recent = [
        (k[0], (k[3] - r["invoice_date"]).days, (k[3] - r["due_date"]).days)
        for r, k in zip(rows, now, strict=True)
        if k[3] is not None and k[3] > begin
    ]
    paid = sum(p for p, _, _ in recent)
    before = sum(k[2] for k in then)
    owed = defaultdict(Fraction)
    for r, k in zip(rows, now, strict=True):
        owed[r["customer_id"]] += k[2]
    shares = sorted((v / open_ for v in owed.values() if v > 0), reverse=True) if open_ else []
    return {
        "days": days,
        "open": float(open_),
        "share": ratio(open_, all_open),
        "not_due": float(not_due),
        "over_90_share": ratio(old, open_),
        "sales": float(sales),
        "collected": float(sum(k[0] for k in now) - sum(k[0] for k in then)),
        "written_off": float(lost),
        "days_sales_outstanding": ratio(open_ * days, sales),
        "best_possible_days": ratio(not_due * days, sales),
        "average_days_delinquent": ratio((open_ - not_due) * days, sales),
        "countback_days": countback(rows, on),
        "days_to_pay": ratio(sum(p * n for p, n, _ in recent), paid),
        "days_beyond_terms": ratio(sum(p * n for p, _, n in recent), paid),
        "collection_effectiveness": 100 * ratio(before + sales - open_, before + sales - not_due),
        "bad_debt_ratio": ratio(lost, sales),
        "dispute_rate": ratio(sum(r["amount"] for r in new if r["disputed"]), sales),
        "customers_owing": len(shares),
        "largest_share": float(shares[0]) if shares else np.nan,
        "top_10_share": float(sum(shares[:10])) if shares else np.nan,
        "effective_customers": ratio(Fraction(1), sum(s * s for s in shares)),
    }


def agree(got, expected):
    for name in got.columns:
        want = [row[name] for row in expected]
        np.testing.assert_allclose(got[name], want, rtol=EXACT, atol=EXACT, err_msg=name)


@settings(max_examples=16)
@given(rows=books, days=st.sampled_from([1, 30, 90]))
def test_every_indicator_agrees_with_plain_python(rows, days):
    ledger = opened(rows)
    rows = [r for r in rows if r["invoice_date"] <= AS_OF]
    owed = sum(known(r, AS_OF)[2] for r in rows)
    agree(kpi.indicators(ledger, days=days), [plain(rows, AS_OF, days, owed)])
    for by in ("customer_id", "region", "disputed"):
        table = kpi.indicators(ledger, by=by, days=days)
        assert table.index.to_list() == sorted({r[by] for r in rows})
        parts = [[r for r in rows if r[by] == name] for name in table.index]
        agree(table, [plain(part, AS_OF, days, owed) for part in parts])


@settings(max_examples=5)
@given(rows=books)
def test_the_past_is_what_a_ledger_of_that_day_says(rows):
    ledger = opened(rows)
    table = kpi.indicators(ledger, over=4)
    for stamp, line in table.iterrows():
        on = stamp.date()
        then = kpi.indicators(opened(rows, as_of=on)).loc["total"]
        pd.testing.assert_series_equal(line, then, check_names=False, check_exact=True)
        seen = [r for r in rows if r["invoice_date"] <= on]
        owed = sum(known(r, on)[2] for r in seen)
        agree(table.loc[[stamp]], [plain(seen, on, 90, owed)])


def bucket(r, on, edges=(30, 60, 90)):
    late = (on - r["due_date"]).days
    if late <= 0:
        return 0
    return 1 + sum(late > edge for edge in edges)


@settings(max_examples=12)
@given(rows=books, back=st.sampled_from([7, 30, 45]))
def test_transitions_follow_every_invoice(rows, back):
    ledger = opened(rows)
    since = AS_OF - back * DAY
    names = ["not_due", "1-30", "31-60", "61-90", "over 90"]
    moved = kpi.transitions(ledger, since)
    rates = kpi.roll_rates(ledger, since).loc["total"]
    by_region = kpi.transitions(ledger, since, by="region")
    for place, name in enumerate(names):
        mine = [r for r in rows if r["invoice_date"] <= since and bucket(r, since) == place]
        opening = sum(known(r, since)[2] for r in mine)
        assert moved.loc[name, "opening"] == float(opening)
        of_regions = by_region.loc[by_region.index.get_level_values("bucket") == name, "opening"]
        assert of_regions.sum() == pytest.approx(float(opening))
        to = [
            ratio(sum(known(r, AS_OF)[2] for r in mine if bucket(r, AS_OF) == later), opening)
            for later in range(5)
        ]
        for what in (0, 1):
            gone = sum(known(r, AS_OF)[what] - known(r, since)[what] for r in mine)
            to.append(ratio(gone, opening))
        to.append(0.0 if opening else np.nan)
        np.testing.assert_allclose(moved.loc[name].iloc[1:], to, rtol=EXACT, atol=EXACT)
        later = to[place + 1 : 5] or to[4:5]
        np.testing.assert_allclose(rates[name], sum(later), rtol=EXACT, atol=EXACT)
        if opening:
            assert moved.loc[name].iloc[1:].sum() == pytest.approx(1, abs=EXACT)


@settings(max_examples=8)
@given(rows=books)
def test_a_roll_rate_is_the_ratio_of_balances_when_buckets_are_as_wide_as_the_step(rows):
    ledger = opened(rows)
    before = opened(rows, as_of=AS_OF - 30 * DAY).ageing(by=None).loc["total"]
    now = ledger.ageing(by=None).loc["total"]
    rates = kpi.roll_rates(ledger).loc["total"]
    for name, later in (("1-30", "31-60"), ("31-60", "61-90")):
        expected = now[later] / before[name] if before[name] else np.nan
        np.testing.assert_allclose(rates[name], expected, rtol=EXACT)


amounts = st.lists(st.integers(0, 10**6), min_size=1, max_size=25)


@given(money=amounts)
def test_the_measures_of_concentration_agree_with_their_definitions(money):
    got = kpi.spread_of(money, top=(1, 3))
    some = sorted((Fraction(m) for m in money if m), reverse=True)
    n, whole = len(some), sum(some)
    assert got["n"] == n
    if not n:
        assert all(np.isnan(value) for name, value in got.items() if name != "n")
        return
    assert got["top_1"] == pytest.approx(float(some[0] / whole), rel=EXACT)
    assert got["top_3"] == pytest.approx(float(sum(some[:3]) / whole), rel=EXACT)
    hhi = sum((m / whole) ** 2 for m in some)
    assert got["hhi"] == pytest.approx(float(hhi), rel=EXACT)
    assert got["effective_number"] == pytest.approx(float(1 / hhi), rel=EXACT)
    differences = sum(abs(a - b) for a in some for b in some)
    gini = differences / (2 * n * whole)
    assert got["gini"] == pytest.approx(float(gini), rel=EXACT, abs=EXACT)


def test_equal_shares_are_as_many_as_there_are():
    equal = kpi.spread_of([5.0] * 8)
    assert equal["effective_number"] == pytest.approx(8, rel=EXACT)
    assert equal["gini"] == pytest.approx(0, abs=EXACT)
    assert equal["top_10"] == 1
