"""The return panel: a ledger's panel against a bookkeeper in plain Python and exact fractions."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings, strategies as st

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.ledger.source import open_ledger
from credit_portfolio.returns.panel import ReturnPanel
from credit_portfolio.returns.rule import ProvisionMatrix, ReturnRule

AS_OF = dt.date(2024, 12, 31)
START = dt.date(2023, 1, 1)
BY_DUE = ProvisionMatrix((0, 30, 90), (0.01, 0.1, 0.4, 1.0))
BY_INVOICE = ProvisionMatrix((30, 60), (0.02, 0.25, 0.9), basis="invoice")


def invoice(customer="A", start="2024-01-10", terms=30, amount="100.00", **more):
    """One row as a ledger holds it; everything is text."""
    first = dt.date.fromisoformat(start)
    row = {
        "customer_id": customer,
        "invoice_id": "",
        "invoice_date": start,
        "due_date": (first + dt.timedelta(days=terms)).isoformat(),
        "amount": amount,
        "settled_date": "",
        "settled_amount": "",
        "written_off_amount": "",
        "markup": "0.25",
    }
    return row | more


def ledger_of(rows, as_of=AS_OF):
    numbered = [row | {"invoice_id": f"I{i}"} for i, row in enumerate(rows)]
    return open_ledger(pd.DataFrame(numbered), as_of=as_of, decimal=".")


def panel_of(*rows, rule=None, period="month", as_of=AS_OF, **options):
    rule = rule or ReturnRule(0.25)
    return ReturnPanel.from_ledger(ledger_of(rows, as_of), rule, period, **options)


# --- the bookkeeper -----------------------------------------------------------------------------


def day(text):
    return dt.date.fromisoformat(text) if text else None


def first_day(date, period):
    month = {"month": date.month, "quarter": 3 * ((date.month - 1) // 3) + 1, "year": 1}[period]
    return dt.date(date.year, month, 1)


def last_day(first, period):
    months = first.month - 1 + {"month": 1, "quarter": 3, "year": 12}[period]
    return dt.date(first.year + months // 12, months % 12 + 1, 1) - dt.timedelta(days=1)


def label(first, period):
    quarter = f"{first.year}Q{(first.month + 2) // 3}"
    return {"month": f"{first:%Y-%m}", "quarter": quarter, "year": f"{first:%Y}"}[period]


def provision(matrix, row, until):
    start = day(row["due_date"]) if matrix.basis == "due" else day(row["invoice_date"])
    age = (until - start).days
    bucket = next((b for b, edge in enumerate(matrix.days) if age <= edge), len(matrix.days))
    return Fraction(str(matrix.rates[bucket]))


def cost_and_profit(row, rule, as_of):
    """What an invoice cost and earned, as design and docs say it, in exact fractions."""
    invoiced, due, settled = (day(row[k]) for k in ("invoice_date", "due_date", "settled_date"))
    amount = Fraction(row["amount"])
    lost = Fraction(row["written_off_amount"] or 0)
    paid = Fraction(0)
    if settled is not None:
        paid = Fraction(row["settled_amount"]) if row["settled_amount"] else amount - lost
        if settled > as_of:
            settled, paid, lost = None, Fraction(0), Fraction(0)
    still_open = amount - paid - lost
    markup = Fraction(row["markup"] if isinstance(rule.markup, str) else str(rule.markup))
    cost = amount / (1 + markup)
    value = paid + still_open
    if rule.provisions is not None:
        value -= still_open * provision(rule.provisions, row, as_of)
        if rule.late_settlement == "provisioned" and settled is not None and settled > due:
            value -= paid * provision(rule.provisions, row, settled)
    closed = ((settled or as_of) - invoiced).days
    days = ((paid + lost) * closed + still_open * (as_of - invoiced).days) / amount
    return cost, value - cost - cost * Fraction(str(rule.funding_rate)) * days / 365


def kept_books(rows, rule, period, maturity_days, as_of):
    """Cell -> [cost, profit] of mature periods, and period -> (invoices, amount) of the others."""
    cells, dropped = defaultdict(lambda: [0, 0]), defaultdict(lambda: [0, 0])
    for row in rows:
        invoiced = day(row["invoice_date"])
        if invoiced > as_of:
            continue
        first = first_day(invoiced, period)
        name = label(first, period)
        if last_day(first, period) + dt.timedelta(days=maturity_days) > as_of:
            dropped[name][0] += 1
            dropped[name][1] += Fraction(row["amount"])
            continue
        for place, money in enumerate(cost_and_profit(row, rule, as_of)):
            cells[name, row["customer_id"]][place] += money
    return cells, dropped


rows_of_a_ledger = st.lists(
    st.builds(
        lambda customer, start, terms, cents, wait, paid, lost, markup: invoice(
            customer,
            (START + dt.timedelta(days=start)).isoformat(),
            terms,
            f"{cents / 100:.2f}",
            settled_date=""
            if wait is None
            else (START + dt.timedelta(days=start + wait)).isoformat(),
            settled_amount=""
            if wait is None or paid is None
            else f"{cents * paid // 1000 / 100:.2f}",
            written_off_amount=f"{cents * lost // 1000 / 100:.2f}" if lost else "",
            markup=markup,
        ),
        st.sampled_from(["007", "7", "B", "<b>"]),
        st.integers(0, 800),  # some after as_of
        st.sampled_from([0, 14, 30, 90]),
        st.integers(1, 10_000_000),
        st.none() | st.integers(0, 400),
        st.none() | st.integers(0, 5) | st.integers(0, 500),
        st.sampled_from([0, 0, 0, 5, 250, 500]),
        st.sampled_from(["0.05", "0.25", "1.5"]),
    ),
    min_size=1,
    max_size=20,
)
conventions = [(None, "paid")] + [
    (matrix, late) for matrix in (BY_DUE, BY_INVOICE) for late in ("paid", "provisioned")
]


# Few large books, and no search for the smallest that fails: opening a ledger takes the time.
@settings(max_examples=10, phases=[Phase.explicit, Phase.generate])
@given(
    rows=rows_of_a_ledger,
    markup=st.sampled_from([0.25, 0.07, "markup"]),
    funding_rate=st.sampled_from([0.0, 0.08]),
    period=st.sampled_from(["month", "quarter", "year"]),
    maturity_days=st.sampled_from([0, 90]),
)
def test_a_panel_agrees_with_the_bookkeeper(rows, markup, funding_rate, period, maturity_days):
    rows = [invoice("B", "2023-02-03", markup="0.25"), *rows]
    ledger = ledger_of(rows)
    for provisions, late in conventions:
        rule = ReturnRule(markup, funding_rate, provisions, late)
        panel = ReturnPanel.from_ledger(ledger, rule, period, maturity_days=maturity_days)
        check_panel(panel, rows, rule, period, maturity_days)


@pytest.mark.parametrize("period", ["month", "quarter", "year"])
@pytest.mark.parametrize("markup", [0.25, "markup"])
def test_every_convention_agrees_on_a_large_book(period, markup, large_book):
    rows, ledger = large_book
    for provisions, late in conventions:
        rule = ReturnRule(markup, 0.08, provisions, late)
        panel = ReturnPanel.from_ledger(ledger, rule, period)
        check_panel(panel, rows, rule, period, 90)


@pytest.fixture(scope="module")
def large_book():
    """Three hundred invoices with every fate, and the ledger that holds them."""
    random = np.random.default_rng(5)
    rows = []
    for _ in range(300):
        start = START + dt.timedelta(days=int(random.integers(0, 760)))
        cents = int(random.integers(1, 5_000_000))
        settled = start + dt.timedelta(days=int(random.integers(0, 300)))
        paid, lost = int(cents * random.uniform(0, 0.6)), int(cents * random.uniform(0, 0.4))
        fate = random.choice(["open", "in full", "in part", "with a loss", "lost", "given up"])
        more = {
            "open": {},
            "in full": {"settled_date": settled.isoformat()},
            "in part": {"settled_date": settled.isoformat(), "settled_amount": f"{paid / 100:.2f}"},
            "with a loss": {
                "settled_date": settled.isoformat(),
                "settled_amount": f"{paid / 100:.2f}",
                "written_off_amount": f"{lost / 100:.2f}",
            },
            "lost": {
                "settled_date": settled.isoformat(),
                "written_off_amount": f"{cents / 100:.2f}",
            },
            "given up": {"written_off_amount": f"{lost / 100:.2f}"},
        }[str(fate)]
        customer = str(random.choice(["007", "7", "B", "<b>"]))
        terms = int(random.choice([0, 14, 30, 90]))
        amount = f"{cents / 100:.2f}"
        markup = str(random.choice(["0.05", "0.25", "1.5"]))
        rows.append(invoice(customer, start.isoformat(), terms, amount, markup=markup, **more))
    return rows, ledger_of(rows)


def check_panel(panel, rows, rule, period, maturity_days):
    cells, dropped = kept_books(rows, rule, period, maturity_days, AS_OF)
    table = panel.to_frame()
    table.index = table.index.map(str)
    known = {row["customer_id"] for row in rows if day(row["invoice_date"]) <= AS_OF}
    assert list(table.columns) == sorted(known)
    names = sorted({name for name, _ in cells})
    assert [table.index[0], table.index[-1]] == [names[0], names[-1]]
    assert list(table.index) == sorted(table.index)
    for t, name in enumerate(table.index):
        for i, customer in enumerate(table.columns):
            if (name, customer) not in cells:
                assert np.isnan(panel.values[t, i])
                assert panel.costs[t, i] == 0
                continue
            cost, profit = cells[name, customer]
            assert panel.costs[t, i] == pytest.approx(float(cost), rel=1e-12)
            # A return is a difference of parts of size one: rounding is absolute.
            assert panel.values[t, i] == pytest.approx(float(profit / cost), abs=1e-12)
    assert panel.convention == rule.describe()
    found = panel.dropped
    reported = zip(map(str, found["period"]), found["invoices"], found["amount"], strict=True)
    assert {name: [n, pytest.approx(a)] for name, n, a in reported} == {
        name: [n, float(amount)] for name, (n, amount) in dropped.items()
    }


# --- both ends of the scale, and what each part of an invoice does ------------------------------


@pytest.mark.parametrize("markup", [0.05, 0.25, 1.0, 3.0])
def test_paid_on_time_in_full_earns_the_markup_and_a_total_loss_minus_one(markup, fates):
    for provisions, late in conventions:
        rule = ReturnRule(markup, 0.0, provisions, late)
        panel = ReturnPanel.from_ledger(fates, rule, "month").to_frame()
        assert panel["paid"].tolist() == pytest.approx([markup], abs=1e-14)
        assert panel["lost"].tolist() == [-1.0]


@pytest.fixture(scope="module")
def fates():
    """One customer for each thing that can happen to an invoice of 100, cost 80."""
    late = {"settled_date": "2024-02-20"}
    return ledger_of(
        [
            invoice("paid", settled_date="2024-02-09"),
            invoice("lost", settled_date="2024-02-09", written_off_amount="100.00"),
            invoice("loss in part", **late, settled_amount="60", written_off_amount="40"),
            invoice("paid in part", **late, settled_amount="60"),
            invoice("given up", written_off_amount="100"),
            invoice("given up in part", written_off_amount="20"),
            invoice("paid late", **late),
            invoice("one day late", settled_date="2024-02-10"),
            invoice("paid on as_of", settled_date="2024-12-31"),
            invoice("paid after as_of", settled_date="2025-01-01"),
            invoice("paid after 73 days", settled_date="2024-03-23"),
            invoice("open"),
        ]
    )


@pytest.mark.parametrize(
    ("customer", "expected"),
    [
        ("loss in part", -0.25),
        ("paid in part", -0.25),  # the rest is 326 days past due on as_of, provided for in full
        ("given up", -1.0),
        ("given up in part", -1.0),
        ("paid late", 0.25),
        ("paid on as_of", 0.25),
        ("paid after as_of", -1.0),  # settled too late to be known: open
        ("open", -1.0),
    ],
)
def test_each_fate_of_an_invoice_has_its_return(customer, expected, fates):
    panel = ReturnPanel.from_ledger(fates, ReturnRule(0.25, provisions=BY_DUE), "month")
    assert panel.to_frame()[customer].tolist() == [pytest.approx(expected, abs=1e-15)]


def test_only_a_late_settlement_is_charged_the_provision_of_its_age(fates):
    rule = ReturnRule(0.25, provisions=BY_DUE, late_settlement="provisioned")
    panel = ReturnPanel.from_ledger(fates, rule, "month").to_frame()
    assert panel["paid"].tolist() == [pytest.approx(0.25, abs=1e-15)]
    assert panel["one day late"].tolist() == [pytest.approx(1.25 * 0.9 - 1, abs=1e-15)]


def test_funding_is_charged_on_cost_for_the_days_outstanding(fates):
    panel = ReturnPanel.from_ledger(fates, ReturnRule(0.25, 0.10), "month").to_frame()
    expected = 0.25 - 0.10 * 73 / 365
    assert panel["paid after 73 days"].tolist() == [pytest.approx(expected, abs=1e-15)]


def test_a_cell_is_weighted_by_cost_not_by_invoice():
    panel = panel_of(
        invoice(amount="900.00", settled_date="2024-02-01"),
        invoice(amount="100.00", settled_date="2024-02-01", written_off_amount="100.00"),
    )
    assert panel.values[0, 0] == pytest.approx(0.9 * 0.25 - 0.1)
    assert panel.costs[0, 0] == pytest.approx(800)


def test_cost_weights_differ_from_amounts_where_markups_differ():
    panel = panel_of(
        invoice(amount="120.00", markup="0.2", settled_date="2024-02-01"),
        invoice(amount="100.00", markup="1.0", settled_date="2024-02-01"),
        rule=ReturnRule("markup"),
    )
    assert panel.values[0, 0] == pytest.approx((100 * 0.2 + 50 * 1.0) / 150)


def test_a_panel_knows_its_day_and_its_currency():
    rows = pd.DataFrame([invoice() | {"invoice_id": "1", "currency": "CHF"}])
    ledger = open_ledger(rows, as_of=AS_OF)
    panel = ReturnPanel.from_ledger(ledger, ReturnRule(0.25), "month")
    assert (panel.as_of, panel.currency) == (AS_OF, "CHF")
    given = ReturnPanel.from_frame(pd.DataFrame({"A": [0.1, 0.2, 0.2]}))
    assert (given.as_of, given.currency) == (None, "")


def test_a_period_without_a_sale_is_empty_not_zero():
    panel = panel_of(
        invoice("A", "2024-01-10", settled_date="2024-02-01"),
        invoice("A", "2024-04-10", settled_date="2024-05-01"),
        invoice("B", "2024-01-10", settled_date="2024-02-01"),
    )
    assert [str(period) for period in panel.periods] == ["2024-01", "2024-02", "2024-03", "2024-04"]
    expected = [[0.25, 0.25], [np.nan, np.nan], [np.nan, np.nan], [0.25, np.nan]]
    np.testing.assert_allclose(panel.values, expected, atol=1e-15)
    assert panel.observed.tolist() == [2, 1]
    assert (panel.costs[1:3] == 0).all()


# --- what is left out, and how it is said -------------------------------------------------------


def test_immature_periods_are_dropped_with_their_counts():
    panel = panel_of(
        invoice("A", "2024-09-30"),
        invoice("A", "2024-10-01", amount="70.00"),
        invoice("B", "2024-10-02", amount="30.50"),
        invoice("B", "2024-12-31", amount="1.00"),
        invoice("B", "2025-01-01", amount="5000.00"),
        period="quarter",
    )
    assert [str(period) for period in panel.periods] == ["2024Q3"]
    assert list(panel.customers) == ["A", "B"]
    row = panel.dropped.iloc[0]
    assert len(panel.dropped) == 1
    assert (str(row["period"]), row["invoices"], row["amount"]) == ("2024Q4", 3, 101.5)
    assert row["reason"] == "ended 2024-12-31, less than 90 days before 2024-12-31"


def test_a_period_is_mature_from_the_very_day_on():
    rows = [invoice("A", "2024-01-10"), invoice("A", "2024-03-10")]
    on = panel_of(*rows, as_of=dt.date(2024, 6, 29))
    before = panel_of(*rows, as_of=dt.date(2024, 6, 28))
    assert (len(on.periods), len(on.dropped)) == (3, 0)
    assert (len(before.periods), len(before.dropped)) == (1, 1)


def test_no_mature_period_is_an_error_with_the_periods():
    with pytest.raises(DataError, match="no month had ended 90 days before 2024-12-31") as caught:
        panel_of(invoice("A", "2024-11-10"), invoice("B", "2024-12-10"))
    assert [str(period) for period in caught.value.failures["period"]] == ["2024-11", "2024-12"]


def test_customers_with_too_few_periods_are_named():
    starts = ["2024-01-10", "2024-02-10", "2024-03-10"]
    rows = [invoice("often", start) for start in starts]
    ledger = ledger_of([*rows, invoice("once", "2024-01-10"), invoice("late", "2024-12-01")])
    panel = ReturnPanel.from_ledger(ledger, ReturnRule(0.25), "month")
    assert list(panel.too_few) == ["late", "once"]
    assert panel.observed.tolist() == [0, 3, 1]
    assert "2 with too few" in repr(panel)
    strict = ReturnPanel.from_ledger(ledger, ReturnRule(0.25), "month", min_periods=4)
    assert list(strict.too_few) == ["late", "often", "once"]


def test_open_money_without_provisions_is_said(fates):
    panel = ReturnPanel.from_ledger(fates, ReturnRule(0.25), "month")
    # in part 40, given up in part 80, after as_of 100, open 100
    assert panel.notes[0].startswith("320.00 of the mature periods is still open")
    assert ReturnPanel.from_ledger(fates, ReturnRule(0.25, provisions=BY_DUE), "month").notes == ()


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "options", "found"),
    [
        ({}, {"period": "quater"}, r"period is 'quater'; .* Did you mean 'quarter'\?"),
        ({}, {"maturity_days": -1}, "maturity_days is -1"),
        ({}, {"min_periods": 1}, "min_periods is 1"),
        ({"markup": "markups"}, {}, r"'markups'.* Did you mean 'markup'\?"),
    ],
)
def test_a_wrong_argument_is_refused(rule, options, found, fates):
    with pytest.raises(ModelError, match=found):
        ReturnPanel.from_ledger(fates, ReturnRule(**({"markup": 0.25} | rule)), **options)


WRONG_MARKUPS = {"none": "", "word": "n/a", "zero": "0", "below": "-0.1", "endless": "inf"}


@pytest.fixture(scope="module")
def wrong_markups():
    """Invoices B and C have no usable markup, in one column for each way to be wrong."""
    sound = dict.fromkeys(WRONG_MARKUPS, "0.2")
    return ledger_of(
        [invoice(name, **(WRONG_MARKUPS if name in "BC" else sound)) for name in "ABCD"]
    )


@pytest.mark.parametrize("column", WRONG_MARKUPS)
def test_invoices_without_a_markup_above_zero_are_listed(column, wrong_markups):
    with pytest.raises(DataError, match="2 invoices have no markup above 0") as caught:
        ReturnPanel.from_ledger(wrong_markups, ReturnRule(column), "month")
    assert sorted(caught.value.failures["customer_id"]) == ["B", "C"]
    assert sorted(caught.value.failures["invoice_id"]) == ["I1", "I2"]


def frame(**columns):
    return pd.DataFrame(columns, index=pd.Index(["p", "q", "r"]))


def test_returns_as_given_keep_values_ids_and_gaps():
    given_ = pd.DataFrame({7: [0.1, None, 0.2], "007": [1, 2, 3]}, index=["p", "q", "r"])
    panel = ReturnPanel.from_frame(given_)
    assert list(panel.customers) == ["7", "007"]
    assert panel.costs.tolist() == [[1, 1], [0, 1], [1, 1]]
    np.testing.assert_array_equal(panel.values[:, 0], [0.1, np.nan, 0.2])
    assert panel.convention == "returns as given"
    given_.iloc[0, 0] = 9.0
    assert panel.values[0, 0] == 0.1
    with pytest.raises(ValueError, match="read-only"):
        panel.values[0, 0] = 1.0


def test_missing_values_of_nullable_columns_are_gaps():
    nullable = frame(A=pd.array([0.1, None, 0.2], dtype="Float64"))
    panel = ReturnPanel.from_frame(nullable.set_axis(["p", "q", "r"]))
    assert panel.observed.tolist() == [2]


@pytest.mark.parametrize(
    ("table", "options", "error", "found"),
    [
        (
            pd.DataFrame([[1.0, 2.0]], columns=["A", "A"]),
            {},
            DataError,
            "more than once as columns: 'A'",
        ),
        (
            pd.DataFrame([[1.0, 2.0]], columns=[1, "1"]),
            {},
            DataError,
            "more than once in the panel: '1'",
        ),
        (frame(A=[0.1, np.inf, 0.2]), {}, DataError, "customer 'A' in period q is infinite"),
        (frame(A=[0.1, -np.inf, 0.2]), {}, DataError, "customer 'A' in period q is infinite"),
        (frame(A=[0.1, "x", 0.2]), {}, DataError, "not a number"),
        (frame(A=[0.1, 0.1, 0.2]), {"min_periods": 1}, ModelError, "min_periods is 1"),
        (
            frame(A=[0.1, 0.1, 0.2]),
            {"costs": [[1.0], [1.0]]},
            DataError,
            r"costs \(2, 1\) for 3 periods",
        ),
        (frame(A=[0.1, 0.1, 0.2]), {"costs": [["x"], [1], [1]]}, DataError, "costs"),
        (frame(A=[0.1, 0.1, 0.2]), {"costs": [[-1], [1], [1]]}, DataError, "costs"),
        (frame(A=[0.1, 0.1, 0.2]), {"costs": [[np.nan], [1], [1]]}, DataError, "costs"),
        (
            pd.DataFrame({"A": [0.1, 0.2]}, index=["p", "p"]),
            {},
            DataError,
            "periods appear more than once.*'p'",
        ),
    ],
)
def test_a_wrong_panel_is_refused(table, options, error, found):
    with pytest.raises(error, match=found):
        ReturnPanel.from_frame(table, **options)


def test_an_empty_panel_has_a_face():
    assert repr(ReturnPanel.from_frame(pd.DataFrame())) == (
        "ReturnPanel(0 periods, 0 customers, 0 % of cells empty)"
    )
