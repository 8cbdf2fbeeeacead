"""Shadow prices against solving again with the bound moved, to both sides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from credit_portfolio.errors import ModelError
from credit_portfolio.multipliers import MOST_SINGLE
from credit_portfolio.portfolio import CreditPortfolio
from credit_portfolio.prices import MONEY_STEP, POINT, limit_table, price_table
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.returns.panel import ReturnPanel
from credit_portfolio.solvers import solve

EDGES = [-1, 0, 0.1, 0.2, 0.25]
LOW, TOP = "[-100 %, 0 %)", "[20 %, 25 %]"
BUDGET = 600_000.0
# Variances come out to some 1e-13 and steps are 1e-5 of the bound, so that the central difference
# is good to 1e-8; one side alone also holds half the curvature, up to 1 % where targets nearly
# rule out each other.
STEP, CENTRAL, ONE_SIDED = 1e-5, 1e-6, 0.02


def panel_of(seed=10, n=14, m=24):
    random = np.random.default_rng(seed)
    loss = random.random((m, n)) < np.linspace(0.1, 0.6, n)
    values = np.where(loss, random.uniform(-0.9, 0.24, (m, n)), 0.25)
    return ReturnPanel.from_frame(pd.DataFrame(values, columns=[f"C{i:02}" for i in range(n)]))


PANEL = panel_of()
LIMITS = pd.Series(np.linspace(50_000.0, 120_000.0, 14), index=PANEL.customers)
FLOORS = {"C13": 45_000.0}
TARGETS = {0: 0.24, 3: 0.7235}


def fit(*, limits=LIMITS, targets=TARGETS, budget=BUDGET, max_share=1.0, floors=FLOORS, **options):
    model = CreditPortfolio(
        EDGES, 2, targets=targets, budget=budget, max_share=max_share, **options
    )
    return model.fit(PANEL, limits=limits, floors=floors).allocation_


def measured(a):
    """Variance of the return, and standard deviation in money."""
    s = a.summary
    return np.array([s["standard_deviation"] ** 2, s["standard_deviation"] * s["budget"]])


def compare(priced, vary, size, unit):
    """Prices per unit against differences of what ``vary`` fits with the bound moved."""
    h = STEP * size
    less, here, more = (measured(vary(move)) for move in (-h, 0.0, h))
    expected = priced[["variance", "standard_deviation"]].to_numpy(dtype=float)
    np.testing.assert_allclose((more - less) / (2 * h) * unit, expected, rtol=CENTRAL)
    np.testing.assert_allclose((more - here) / h * unit, expected, rtol=ONE_SIDED)
    np.testing.assert_allclose((here - less) / h * unit, expected, rtol=ONE_SIDED)


def test_the_book_presses_on_everything_that_is_priced_here():
    a = fit()
    table = a.shadow_prices
    assert table.loc[["budget", f"target {LOW}", f"target {TOP}"], "binding"].all()
    assert (table["kind"] == "limit").sum() >= 2
    assert {"at limit", "between bounds", "at floor"} <= set(a.reasons)


@pytest.mark.parametrize(("interval", "name"), [(0, LOW), (3, TOP)])
def test_a_target_is_priced_per_percentage_point(interval, name):
    row = fit().shadow_prices.loc[f"target {name}"]
    assert row["step"] == "1 percentage point more"
    # More room below a bad target lowers the risk; more asked of a good one raises it.
    assert np.sign(row["standard_deviation"]) == (-1 if interval == 0 else 1)

    def vary(move):
        return fit(targets=TARGETS | {interval: TARGETS[interval] + move})

    compare(row, vary, TARGETS[interval], POINT)


def test_every_binding_limit_is_priced_per_ten_thousand():
    a = fit(currency="EUR")
    rows = a.shadow_prices[a.shadow_prices["kind"] == "limit"]
    for condition, row in rows.iterrows():
        customer = str(condition).removeprefix("limit ")
        assert row["step"] == "10,000 EUR more"
        assert row["standard_deviation"] < 0
        assert row["bound"] == LIMITS[customer]

        def vary(move, customer=customer):
            moved = LIMITS.copy()
            moved[customer] += move
            return fit(limits=moved)

        compare(row, vary, LIMITS[customer], MONEY_STEP)
        price = a.customers.loc[customer, "limit_price"]
        assert price == row["standard_deviation"]
    others = a.customers.drop([c.removeprefix("limit ") for c in rows.index])
    assert (others["limit_price"] == 0).all()


@pytest.mark.parametrize("floors", [FLOORS, None])
@pytest.mark.parametrize(
    ("targets", "max_share"), [(TARGETS, 1.0), (TARGETS, 0.12), ({}, 1.0), ({}, 0.09)]
)
def test_the_budget_is_priced_with_targets_and_largest_share_moving_along(
    targets, max_share, floors
):
    options = {"max_share": max_share, "floors": floors, "targets": targets}
    a = fit(**options)
    assert ("at largest share" in set(a.reasons)) == (max_share < 1)
    row = a.shadow_prices.loc["budget"]
    assert (row["kind"], row["bound"], row["step"]) == ("budget", BUDGET, "10,000 more")
    assert row["reached"] == pytest.approx(BUDGET)
    compare(row, lambda move: fit(budget=BUDGET + move, **options), BUDGET, MONEY_STEP)


def test_without_anything_in_the_way_money_deviation_grows_in_proportion_to_the_budget():
    a = fit(limits=None, targets={}, floors=None)
    row = a.shadow_prices.loc["budget"]
    deviation = a.summary["standard_deviation"]
    assert row["standard_deviation"] == pytest.approx(deviation * MONEY_STEP, rel=1e-9)
    assert row["variance"] == pytest.approx(0, abs=1e-15)
    assert list(a.shadow_prices.index) == ["budget"]


def test_a_largest_share_is_no_limit_in_money_and_gets_no_limit_price():
    a = fit(limits=None, targets={}, floors=None, max_share=0.09)
    assert set(a.reasons) >= {"at largest share"}
    assert (a.shadow_prices["kind"] != "limit").all()
    assert (a.customers["limit_price"] == 0).all()


def test_a_condition_that_does_not_press_costs_nothing():
    a = fit(targets={0: 0.9, 3: 0.01})
    for name in (LOW, TOP):
        row = a.shadow_prices.loc[f"target {name}"]
        assert not row["binding"]
        assert (row["variance"], row["standard_deviation"]) == (0, 0)
    assert not a.evaluation["binding"].any()


def test_the_table_states_bound_and_what_was_reached():
    a = fit()
    for j, name in ((0, LOW), (3, TOP)):
        row = a.shadow_prices.loc[f"target {name}"]
        assert row["bound"] == TARGETS[j]
        assert row["reached"] == pytest.approx(a.evaluation.loc[name, "proposed"], abs=1e-12)
    limited = a.shadow_prices[a.shadow_prices["kind"] == "limit"]
    np.testing.assert_allclose(limited["reached"], limited["bound"], rtol=1e-12)


def test_no_variance_no_price():
    frame = pd.DataFrame({"A": [0.25] * 4, "B": [0.25] * 4})
    model = CreditPortfolio(EDGES, 2, targets={}, budget=10, floor=None)
    a = model.fit(ReturnPanel.from_frame(frame)).allocation_
    assert a.summary["standard_deviation"] == 0
    assert a.shadow_prices.loc["budget", "standard_deviation"] == 0
    assert (a.customers["risk_share"] == 0).all()


# --- conditions that depend on each other ---------------------------------------------------------


def two_intervals(bad, good, seed=3):
    """Two intervals add up to the budget, so that their targets say the same twice."""
    model = CreditPortfolio([-1, 0.2, 0.25], 1, targets={0: bad, 1: good}, budget=BUDGET)
    return model.fit(panel_of(seed), limits=LIMITS).allocation_


@pytest.mark.parametrize(
    ("interval", "side", "size"),
    [(0, "more", 1), (0, "less", -1), (1, "more", 1), (1, "less", -1)],
)
def test_a_target_that_another_repeats_has_a_price_for_each_direction(interval, side, size):
    bad, good = 0.26, 0.74
    a = two_intervals(bad, good)
    moved = [bad, good]
    moved[interval] += size * 1e-5
    changed = (measured(two_intervals(*moved)) - measured(a)) / 1e-5 * POINT
    names = ["variance", "standard_deviation"]
    names = names if side == "more" else [f"{name}_less" for name in names]
    row = a.shadow_prices[a.shadow_prices["kind"] == "target"].iloc[interval]
    priced = row[names].to_numpy(dtype=float)
    # A side that costs nothing is told as nothing, not as a small number.
    scale = np.abs(a.shadow_prices[names].to_numpy(dtype=float)).max(axis=0)
    np.testing.assert_allclose(changed, priced, rtol=ONE_SIDED, atol=1e-7 * scale.max())


def test_of_two_targets_that_repeat_each_other_neither_binds_alone():
    a = two_intervals(0.26, 0.74)
    targets = a.shadow_prices[a.shadow_prices["kind"] == "target"]
    assert not targets["binding"].any()
    assert two_intervals(0.26, 0.0).shadow_prices["binding"].tolist()[:2] == [True, True]


def test_a_target_that_asks_for_everything_has_no_price_for_more():
    panel = panel_of(4)
    sure = panel.to_frame().clip(lower=0.21)
    model = CreditPortfolio([-1, 0.2, 0.25], 1, targets={1: 1.0}, budget=BUDGET)
    a = model.fit(ReturnPanel.from_frame(sure)).allocation_
    row = a.shadow_prices.loc["target [20 %, 25 %]"]
    assert np.isnan(row["standard_deviation"])
    assert row["standard_deviation_less"] == 0
    assert not row["binding"]


def test_targets_that_say_nothing_are_no_conditions():
    model = CreditPortfolio(EDGES, 2, targets={0: 1.0, 3: 0.0}, budget=BUDGET)
    a = model.fit(PANEL).allocation_
    assert a.shadow_prices.index.tolist() == ["budget"]
    assert a.evaluation["target"].tolist()[0] == 1.0
    assert not a.evaluation["binding"].any()


# --- groups and single limits ---------------------------------------------------------------------


def small(upper, **rows):
    program = CreditProgram(
        idiosyncratic=[0.01, 0.02, 0.04], rows=[[1, 1, 1], [1, 0, 0]], row_lower=[1, -np.inf],
        row_upper=[1, rows.get("cap", 0.4)], upper=upper, row_names=["budget", "group retail"],
    )  # fmt: skip
    return program, solve(program)


def test_a_group_cap_is_priced_per_percentage_point_and_per_ten_thousand() -> None:
    program, solution = small(1.0)
    none = np.zeros(3, dtype=bool)
    table = price_table(program, solution, BUDGET, "EUR", ["budget", "group"], none)
    assert table.index.tolist() == ["budget", "group retail", "group retail (amount)"]
    assert table["kind"].tolist() == ["budget", "group", "group amount"]
    assert table["step"].tolist()[1:] == ["1 percentage point more", "10,000 EUR more"]
    share, amount = table.iloc[1], table.iloc[2]
    # By hand: w = (c, (1 − c)·2/3, (1 − c)/3), variance 0.01 c² + (1 − c)²·0.04/3.
    slope = 2 * 0.01 * 0.4 - 2 * 0.6 * 0.04 / 3
    assert share["variance"] == pytest.approx(slope * POINT, rel=1e-9)
    assert share["variance_less"] == pytest.approx(-slope * POINT, rel=1e-9)
    assert amount["variance"] == pytest.approx(slope * MONEY_STEP / BUDGET, rel=1e-9)
    assert (share["bound"], amount["bound"]) == pytest.approx((0.4, 0.4 * BUDGET))
    assert table["binding"].all()


def test_a_limit_has_no_way_down_where_the_limits_add_up_to_the_budget() -> None:
    program, solution = small([0.5, 0.25, 0.25], cap=1.0)
    table = limit_table(program, solution, BUDGET, "EUR", list("ABC"), np.ones(3, dtype=bool))
    assert table.index.tolist() == ["limit A", "limit B", "limit C"]
    assert table["standard_deviation_less"].isna().all()
    # Marginal variances 0.010, 0.010, 0.020: only credit taken from C lowers the risk.
    np.testing.assert_allclose(
        table["variance"], np.array([-0.01, -0.01, 0.0]) * MONEY_STEP / BUDGET, rtol=1e-9
    )
    assert table["binding"].tolist() == [True, True, False]


def test_prices_of_too_many_tied_limits_are_told_as_one_of_several() -> None:
    n = MOST_SINGLE + 2
    part = np.where(np.arange(n) % 2 == 0, 1.0, 0.0)
    program = CreditProgram(
        idiosyncratic=np.linspace(1, 2, n), rows=[np.ones(n), part],
        row_lower=[1, -np.inf], row_upper=[1, 0.5], upper=1 / n,
        row_names=["budget", "group even"],
    )  # fmt: skip
    everyone = np.ones(n, dtype=bool)
    names = [str(i) for i in range(n)]
    table = limit_table(program, solve(program), BUDGET, "", names, everyone)
    assert table["step"].str.endswith("(one of several prices)").all()


def test_an_unknown_kind_of_row_is_refused() -> None:
    program, solution = small(1.0)
    with pytest.raises(ModelError, match="'grup'"):
        price_table(program, solution, BUDGET, "", ["budget", "grup"], np.zeros(3, dtype=bool))
