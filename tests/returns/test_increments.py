"""A panel brought up to a later day: equal to the whole computation, and only what changed."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.ledger.opening import open_entries
from credit_portfolio.ledger.source import open_ledger
from credit_portfolio.returns import cells, increments
from credit_portfolio.returns.panel import ReturnPanel
from credit_portfolio.returns.rule import ProvisionMatrix, ReturnRule

START = dt.date(2023, 1, 1)
BY_DUE = ProvisionMatrix((0, 30, 90), (0.01, 0.1, 0.4, 1.0))
RULES = {
    "plain": ReturnRule(0.25),
    "funded": ReturnRule(0.25, 0.08),
    "provisioned": ReturnRule(0.25, 0.05, BY_DUE, "provisioned"),
    "by column": ReturnRule("margin", 0.08, BY_DUE),
}
# Sums of at most a few dozen floats in another order: some units in the last place of the largest
# term, against profits that may nearly cancel; money here is at most 10,000.
ROUNDING = {"rtol": 1e-12, "atol": 1e-12}


def row(number, customer, start, terms, cents, paid_after, part, lost=0, margin=25):
    """One row as a ledger holds it; ``part`` of 4 quarters is collected, the rest may be lost."""
    first = START + dt.timedelta(days=start)
    collected = cents * part // 4
    settled = "" if paid_after is None else (first + dt.timedelta(days=paid_after)).isoformat()
    return {
        "customer_id": customer,
        "invoice_id": f"I{number}",
        "invoice_date": first.isoformat(),
        "due_date": (first + dt.timedelta(days=terms)).isoformat(),
        "amount": f"{cents / 100:.2f}",
        "settled_date": settled,
        "settled_amount": f"{collected / 100:.2f}" if settled else "",
        "written_off_amount": f"{(cents - collected) / 100:.2f}" if lost else "",
        "margin": f"{margin / 100}",
    }


rows_ = st.builds(
    row,
    st.just(0),
    st.sampled_from("ABCDE"),
    st.integers(0, 400),
    st.integers(0, 60),
    st.integers(1, 1_000_000),
    st.one_of(st.none(), st.integers(0, 200)),
    st.integers(0, 4),
    st.integers(0, 1),
    st.integers(1, 80),
)
books = st.lists(rows_, min_size=1, max_size=40)


def numbered(rows, first=0):
    return [one | {"invoice_id": f"I{first + k}"} for k, one in enumerate(rows)]


def ledger_of(rows, as_of):
    return open_ledger(pd.DataFrame(rows), as_of=as_of, decimal=".")


def make(ledger, rule, period="month", maturity_days=30, *, updatable=True):
    return ReturnPanel.from_ledger(
        ledger, rule, period, maturity_days=maturity_days, updatable=updatable
    )


def check_equal(updated, whole):
    assert list(updated.customers) == list(whole.customers)
    assert list(map(str, updated.periods)) == list(map(str, whole.periods))
    np.testing.assert_allclose(updated.costs, whole.costs, **ROUNDING)
    np.testing.assert_allclose(updated.values, whole.values, **ROUNDING)
    pd.testing.assert_frame_equal(updated.dropped, whole.dropped)
    assert updated.notes == whole.notes
    assert (updated.as_of, updated.currency) == (whole.as_of, whole.currency)
    assert updated.convention == whole.convention
    pd.testing.assert_frame_equal(updated.history.marks, whole.history.marks)


@settings(max_examples=12, deadline=None)
@given(
    rows=books,
    first=st.integers(60, 300),
    later=st.integers(0, 200),
    rule=st.sampled_from(sorted(RULES)),
    period=st.sampled_from(["month", "quarter"]),
)
def test_an_updated_panel_is_the_whole_computation(rows, first, later, rule, period):
    rows = numbered([row(0, "A", 0, 30, 10_000, 30, 4), *rows])
    book = ledger_of(rows, START + dt.timedelta(days=first + later + 100))
    then = book.on(START + dt.timedelta(days=first + 100))
    panel = make(then, RULES[rule], period, 0)
    check_equal(panel.updated(book), make(book, RULES[rule], period, 0))


@settings(max_examples=10, deadline=None)
@given(
    rows=books,
    added=st.lists(rows_, max_size=8),
    taken=st.integers(0, 5),
    mended=st.lists(rows_, max_size=3),
    rule=st.sampled_from(sorted(RULES)),
)
def test_a_past_that_was_rewritten_is_noticed(rows, added, taken, mended, rule):
    rows = numbered([row(0, "A", 40, 30, 10_000, 30, 4), *rows])
    panel = make(ledger_of(rows, "2023-12-31"), RULES[rule])
    changed = [one | {"invoice_id": f"I{k}"} for k, one in enumerate(mended, start=1)]
    later = rows[: 1 + max(0, len(rows) - 1 - taken)]
    later = [later[0], *changed, *later[1 + len(changed) :], *numbered(added, 1000)]
    book = ledger_of(later, "2024-02-29")
    check_equal(panel.updated(book), make(book, RULES[rule]))


def test_month_after_month_comes_to_the_whole_computation():
    random = np.random.default_rng(3)
    rows = [
        row(k, f"C{random.integers(20)}", int(random.integers(0, 600)), 30, 100 + int(c), late, 4)
        for k, (c, late) in enumerate(
            zip(random.integers(0, 10**6, 600), random.integers(5, 80, 600).tolist(), strict=True)
        )
    ]
    book = ledger_of(rows, "2024-08-31")
    panel = make(book.on("2023-04-30"), RULES["provisioned"])
    for month in pd.period_range("2023-06", "2024-08", freq="M")[::2]:
        before, panel = panel, panel.updated(book.on(month.end_time.date()))
        assert panel.history.rewritten == ()
        assert panel.history.invoices < len(rows) / 2
        assert before.as_of < panel.as_of
    check_equal(panel, make(book, RULES["provisioned"]))


@pytest.fixture
def two_years():
    """Forty customers with a sale every month, each paid after forty days; two exceptions."""
    rows = [
        row(40 * month + c, f"C{c:02}", 30 * month, 30, 10_000 + c, 40, 4)
        for month in range(20)
        for c in range(40)
    ]
    rows[3] = row(3, "C03", 0, 30, 10_003, 460, 4)  # paid on 2024-04-05
    rows[44] = row(44, "C04", 30, 30, 10_004, None, 0)  # never
    return rows


def engine_sums(monkeypatch):
    """Watch what the engine hands over: one row a cell that it has added up."""
    seen = []
    for module in (cells, increments):
        fetch = module.arrow_of
        monkeypatch.setattr(module, "arrow_of", lambda t, f=fetch: seen.append(f(t)) or seen[-1])
    return seen


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("plain", {"C03": ["2023-01"]}),
        ("funded", {"C03": ["2023-01"], "C04": ["2023-01"]}),
    ],
)
def test_cells_that_did_not_change_are_not_added_up(two_years, monkeypatch, rule, expected):
    book = ledger_of(two_years, "2024-04-10")
    then = book.on("2024-04-02")
    panel = make(then, RULES[rule], maturity_days=70)
    seen = engine_sums(monkeypatch)
    updated = panel.updated(book)
    sums = [table for table in seen if "profit" in table.column_names]
    assert len(sums) == 1
    fetched = sums[0].select(["customer_id", "period"]).to_pandas()
    whole = {2024 * 12 + 1 - 1 - 1970 * 12}  # January 2024 has become mature: all of its cells
    few = fetched[~fetched["period"].isin(whole)]
    cells = {
        name: [str(pd.Period(ordinal=n, freq="M")) for n in sorted(group["period"])]
        for name, group in few.groupby("customer_id")
    }
    assert cells == expected
    assert updated.history.cells == len(fetched)
    assert updated.history.invoices < 100 < len(two_years)
    # And those that were not are the earlier panel's, bit for bit.
    names = [name for name in panel.customers if name not in expected]
    np.testing.assert_array_equal(
        updated.to_frame().loc[panel.periods, names], panel.to_frame()[names]
    )


def test_an_update_on_the_same_day_adds_up_no_cell_where_nothing_ages(two_years):
    book = ledger_of(two_years, "2024-04-10")
    panel = make(book, RULES["plain"])
    again = panel.updated(book)
    assert (again.history.cells, again.history.invoices) == (0, 0)
    check_equal(again, panel)


def test_a_late_booking_makes_its_own_period_new_and_no_other(two_years):
    panel = make(ledger_of(two_years, "2024-04-10"), RULES["plain"])
    late = row(9999, "Z", 95, 30, 5_000, 20, 4)  # dated 2023-04-06
    book = ledger_of([*two_years, late], "2024-04-10")
    updated = panel.updated(book)
    assert [str(pd.Period(ordinal=n, freq="M")) for n in updated.history.rewritten] == ["2023-04"]
    assert updated.history.cells == 41
    check_equal(updated, make(book, RULES["plain"]))


def test_a_book_that_begins_anew_after_the_panel_is_the_whole_computation(two_years):
    panel = make(ledger_of(two_years, "2023-06-30"), RULES["funded"])
    book = ledger_of([one for one in two_years if one["invoice_date"] > "2023-06-30"], "2024-04-10")
    check_equal(panel.updated(book), make(book, RULES["funded"]))


def test_an_update_needs_what_it_was_not_given(two_years):
    book = ledger_of(two_years, "2024-04-10")
    with pytest.raises(ModelError, match="updatable=True"):
        make(book, RULES["plain"], updatable=False).updated(book)
    with pytest.raises(ModelError, match="of that day or later"):
        make(book, RULES["plain"]).updated(book.on("2024-04-09"))
    other = open_ledger(pd.DataFrame(two_years), as_of=book.as_of, decimal=".", currency="EUR")
    with pytest.raises(ModelError, match="one currency"):
        make(book, RULES["plain"]).updated(other)
    with pytest.raises(DataError, match="no month had ended 900 days"):
        ReturnPanel.from_ledger(book, RULES["plain"], "month", maturity_days=900, updatable=True)


def entry(number, kind, document, against, day, cents, due=""):
    return {
        "customer_id": f"C{number % 4}",
        "document": document,
        "against_document": against,
        "kind": kind,
        "booking_date": (START + dt.timedelta(days=day)).isoformat(),
        "due_date": due,
        "amount": f"{cents / 100:.2f}",
    }


claims = st.lists(
    st.tuples(
        st.integers(0, 11),
        st.sampled_from(["payment", "credit_note", "write_off", "discount"]),
        st.integers(0, 250),
        st.sampled_from([1, 2, 4]),
    ),
    max_size=30,
)


@settings(max_examples=5, deadline=None)
@given(claims=claims, later=st.integers(0, 150), rule=st.sampled_from(["plain", "funded"]))
def test_a_panel_of_entries_is_updated_too(claims, later, rule):
    rows = [
        entry(k, "invoice", f"I{k}", "", 9 * k, 10_000 + k, due="2023-06-30") for k in range(12)
    ]
    rows += [
        entry(k, kind, f"X{place}", f"I{k}", 9 * k + days, -((10_000 + k) // share))
        for place, (k, kind, days, share) in enumerate(claims)
    ]
    book = open_entries(pd.DataFrame(rows), as_of="2023-12-31")
    then = book.on(START + dt.timedelta(days=120))
    now = book.on(START + dt.timedelta(days=120 + later))
    try:
        panel = make(then, RULES[rule], maturity_days=0)
        whole = make(now, RULES[rule], maturity_days=0)
    except DataError:
        return  # credit notes have taken every invoice of the mature months
    check_equal(panel.updated(now), whole)
