"""The backtest against plain pandas, poisoned futures, and scikit-learn's search."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from sklearn.model_selection import GridSearchCV

import credit_portfolio as cp
from credit_portfolio.backtesting import Backtest, WalkForward, backtest

EDGES, RULE = [-1.5, 0.0, 0.2, 0.235, 0.25], cp.ReturnRule(0.25, 0.08)
DAYS = ["2022-06-30", "2022-12-31", "2023-03-31"]


@pytest.fixture(scope="module")
def book() -> cp.SimulatedBook:
    return cp.simulate_book(40, 4_000, seed=11)


@pytest.fixture(scope="module")
def ledger(book: cp.SimulatedBook) -> cp.Ledger:
    return cp.open_ledger(book.invoices, as_of=book.as_of)


def limits_on(day: dt.date) -> pd.Series:
    """Limits that grow with the calendar, so that a day's own must have been asked for."""
    names = [f"C{i:06}" for i in range(1, 41)]
    return pd.Series(np.linspace(2e4, 4e5, 40) * (1 + (day.year - 2021) / 2), index=names)


def walked(ledger: cp.Ledger, **kwargs: object) -> Backtest:
    model = cp.CreditPortfolio(EDGES, 2, targets={})
    return backtest(ledger, model, RULE, DAYS, limits=limits_on, **kwargs)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def done(ledger: cp.Ledger) -> Backtest:
    return walked(ledger)


# ----------------------------------------------------------------------------- the figures


def realised(invoices: pd.DataFrame, day: str, periods: int = 1) -> pd.DataFrame:
    """Profit, cost and loss per customer of the quarters after a day, by plain pandas."""
    first = pd.Timestamp(day) + pd.Timedelta(days=1)
    later = first + pd.DateOffset(months=3 * periods)
    t = invoices[(invoices["invoice_date"] >= first) & (invoices["invoice_date"] < later)]
    amount, collected, lost, still = (
        t[name].astype(float) for name in ("amount", "collected", "written_off", "open")
    )
    cost, as_of = amount / 1.25, pd.Timestamp("2023-12-31")
    days = (t["settled_date"].fillna(as_of) - t["invoice_date"]).dt.days
    days_open = (as_of - t["invoice_date"]).dt.days
    tied_up = ((amount - still) * days + still * days_open) / amount
    profit = collected + still - cost - cost * 0.08 / 365 * tied_up
    parts = pd.DataFrame({"cost": cost, "profit": profit, "lost": lost})
    return parts.groupby(t["customer_id"]).sum()


@pytest.mark.parametrize("horizon", [1, 2])
def test_realised_figures_are_those_of_plain_pandas(ledger, horizon):
    test = walked(ledger, horizon=horizon)
    invoices = ledger.to_frame()
    for day, shares in test.shares.items():
        came = realised(invoices, day, horizon).reindex(shares.index)
        returns, lost = came["profit"] / came["cost"], came["lost"] / came["cost"]
        bought = returns.notna()
        for name in shares.columns:
            w = shares[name][bought]
            row = test.days[(test.days["day"] == day) & (test.days["portfolio"] == name)].iloc[0]
            assert row["traded"] == pytest.approx(w.sum(), rel=1e-12)
            assert row["return"] == pytest.approx(w @ returns[bought] / w.sum(), rel=1e-9)
            assert row["bad_debt"] == pytest.approx(w @ lost[bought] / w.sum(), abs=1e-12)
            bad = w[returns[bought] < 0.2].sum() / w.sum()
            assert row["bad_share"] == pytest.approx(bad, abs=1e-12)


def test_some_credit_was_lost_in_the_book_that_is_tested(done):
    assert (done.days["bad_debt"] > 0).any()


def test_the_baselines_are_what_their_names_say(book, ledger, done):
    for day, shares in done.shares.items():
        known = ledger.on(day)
        exposure = known.exposure()
        limit = limits_on(pd.Timestamp(day).date())
        panel = cp.ReturnPanel.from_ledger(known, RULE)
        judged = panel.customers[panel.observed >= 3]
        model = cp.CreditPortfolio(EDGES, 2, targets={}).fit(panel, limits=limit, current=exposure)
        assert set(shares.columns) == set(done.summary.index)
        expected = {
            "model": model.allocation_.shares,
            "current shares": exposure / exposure.sum(),
            "equal": pd.Series(1.0 / len(judged), judged),
            "sales-proportional": pd.Series(panel.costs.sum(axis=0), panel.customers)[judged],
            "limit-proportional": limit[judged],
        }
        for name, wanted in expected.items():
            wanted = (wanted / wanted.sum()).reindex(shares.index).fillna(0.0)
            assert shares[name].to_numpy() == pytest.approx(wanted.to_numpy(), abs=1e-9)
        over = np.maximum(shares["equal"] * exposure.sum() - limit.reindex(shares.index), 0)
        row = done.days[(done.days["day"] == day) & (done.days["portfolio"] == "equal")].iloc[0]
        assert row["over_limit"] == pytest.approx(over.sum() / exposure.sum(), abs=1e-12)


def test_the_summary_adds_up_the_days(done):
    model = done.days[done.days["portfolio"] == "model"].set_index("day")
    equal = done.days[done.days["portfolio"] == "equal"].set_index("day")
    row = done.summary.loc["equal"]
    assert row["mean_return"] == pytest.approx(equal["return"].mean())
    assert row["standard_deviation"] == pytest.approx(np.std(equal["return"], ddof=1))
    assert (row["worst_return"], row["worst_day"]) == (
        equal["return"].min(),
        equal["return"].idxmin(),
    )
    apart = model["return"] - equal["return"]
    assert row["difference"] == pytest.approx(apart.mean())
    assert row["difference_error"] == pytest.approx(apart.std(ddof=1) / np.sqrt(3))
    first, second = (done.shares[day]["equal"] for day in DAYS[:2])
    moved = 0.5 * first.subtract(second, fill_value=0.0).abs().sum()
    assert equal["turnover"].tolist()[1] == pytest.approx(moved)
    assert np.isnan(equal["turnover"].iloc[0])


def test_each_figure_s_winner_is_named_whoever_it_is(done):
    told = done.winners()
    best = {
        "mean return": done.summary["mean_return"].idxmax(),
        "standard deviation": done.summary["standard_deviation"].idxmin(),
        "bad debt": done.summary["bad_debt"].idxmin(),
    }
    for figure, name in best.items():
        assert f"{figure}: {name} (" in told
    assert told in repr(done)
    assert done.to_frame().equals(done.days)


# ------------------------------------------------------------------------------ no look-ahead


def poisoned(invoices: pd.DataFrame, day: str) -> pd.DataFrame:
    """The same book up to a day with another future: sales are tenfold, and all is lost."""
    t = invoices.copy()
    after = t["invoice_date"] > day
    open_then = ~after & ~(t["settled_date"] <= day)
    t.loc[after, "amount"] *= 10
    lost = after | open_then
    t.loc[lost, "written_off_amount"] = t.loc[lost, "amount"]
    t.loc[lost, "settled_amount"] = 0.0
    t.loc[lost, "settled_date"] = pd.Timestamp("2023-12-31")
    return t


@pytest.mark.parametrize("day", DAYS)
def test_nothing_after_a_day_changes_its_shares(book, done, day):
    other = cp.open_ledger(poisoned(book.invoices, day), as_of=book.as_of)
    assert other.quality.rows_rejected == 0
    test = walked(other)
    pd.testing.assert_frame_equal(test.shares[day], done.shares[day])
    # The future was poisoned indeed: it costs all that the sales of the horizon cost.
    came = test.days.set_index(["day", "portfolio"])
    assert (came.loc[day, "return"] < -1.0).all()
    assert came.loc[day, "bad_debt"].to_numpy() == pytest.approx(1.25)
    for later in set(DAYS) & set(test.shares):
        changed = not test.shares[later].equals(done.shares[later])
        assert changed == (later > day)


def test_limits_are_asked_for_each_day(ledger):
    asked: list[dt.date] = []

    def limits(day: dt.date) -> pd.Series:
        asked.append(day)
        return limits_on(day)

    backtest(ledger, cp.CreditPortfolio(EDGES, 2, targets={}), RULE, DAYS, limits=limits)
    assert [str(day) for day in asked] == DAYS


# ------------------------------------------------------------------------------- days and fits


def test_days_are_chosen_with_enough_behind_and_ahead(ledger):
    test = backtest(ledger, cp.CreditPortfolio(EDGES, 2), RULE, min_periods=4)
    # Quarters from 2021Q1; mature 90 days after their end; the last mature one is 2023Q3.
    days = test.days["day"].unique().tolist()
    assert days == [
        "2022-03-31", "2022-06-30", "2022-09-30", "2022-12-31", "2023-03-31", "2023-06-30",
    ]  # fmt: skip
    assert test.days["last_period"].iloc[-1] == "2023Q3"


def limits_too_low_once(day: dt.date) -> pd.Series:
    return limits_on(day) * (1e-3 if str(day) == DAYS[1] else 1.0)


def test_a_day_without_a_fit_is_left_out_for_all_or_keeps_the_current_shares(ledger):
    model = cp.CreditPortfolio(EDGES, 2, targets={})
    skipped = backtest(ledger, model, RULE, DAYS, limits=limits_too_low_once)
    assert list(skipped.shares) == [DAYS[0], DAYS[2]]
    assert (skipped.summary["days"] == 2).all()
    assert f"{DAYS[1]}: no fit" in skipped.notes[0]
    assert "left out for all" in skipped.notes[0]
    kept = backtest(ledger, model, RULE, DAYS, limits=limits_too_low_once, infeasible="current")
    assert (kept.summary["days"] == 3).all()
    that = kept.shares[DAYS[1]]
    assert that["model"].equals(that["current shares"].rename("model"))
    assert "holds the current shares" in kept.notes[0]


def test_one_table_of_limits_is_told_as_known_throughout(ledger):
    limits = limits_on(dt.date(2023, 1, 1))
    test = backtest(ledger, cp.CreditPortfolio(EDGES, 2, targets={}), RULE, DAYS, limits=limits)
    assert "taken as known on all days" in test.notes[-1]


def test_what_cannot_be_tested_is_refused_with_the_way_out(ledger):
    model = cp.CreditPortfolio(EDGES, 2)
    with pytest.raises(cp.ModelError, match="Did you mean 'quarter'"):
        backtest(ledger, model, RULE, every="quater")  # type: ignore[arg-type]
    with pytest.raises(cp.ModelError, match="horizon is 0"):
        backtest(ledger, model, RULE, horizon=0)
    with pytest.raises(cp.ModelError, match="in order of time"):
        backtest(ledger, model, RULE, DAYS[::-1])
    with pytest.raises(cp.ModelError, match="no end of a year has 3 mature periods"):
        backtest(ledger, model, RULE, every="year", period="year")
    with pytest.raises(cp.DataError, match="a horizon of 1 needs earlier days"):
        backtest(ledger, model, RULE, ["2023-11-30"])
    with pytest.raises(cp.ModelError, match="no day could be tested"):
        backtest(ledger, model, RULE, DAYS[:1], limits=limits_on(dt.date(2022, 1, 1)) * 1e-3)
    with pytest.raises(cp.ModelError, match="good_from is missing"):
        backtest(ledger, cp.CreditPortfolio(EDGES), RULE, DAYS)
    with pytest.raises(cp.DataError, match="outside the edges") as raised:
        backtest(ledger, cp.CreditPortfolio([0.2, 0.25], 0), RULE, DAYS)
    assert raised.value.__notes__ == [f"in the fit of {DAYS[0]}"]


def test_the_ibm_ledger_is_walked_through(ibm_ledger_csv: Path):
    ledger = cp.open_ledger(ibm_ledger_csv, profile="ibm", as_of="2013-12-31")
    model = cp.CreditPortfolio([-1, 0, 0.235, 0.24, 0.245, 0.25], 3, unit=0.01)
    days = ["2012-08-31", "2013-02-28", "2013-09-30"]
    test = backtest(
        ledger, model, RULE, days, period="month", maturity_days=60, min_periods=6, horizon=1
    )
    assert test.days["day"].unique().tolist() == days
    assert not test.notes
    # Nothing was ever written off there, and all is collected between 23 and 25 %.
    assert (test.days["bad_debt"] == 0).all()
    assert test.days["return"].between(0.23, 0.25).all()
    assert "all alike" in test.winners()


# --------------------------------------------------------------------- scikit-learn's protocol


@given(
    st.integers(1, 40),
    st.integers(1, 6),
    st.integers(1, 4),
    st.integers(0, 3),
    st.one_of(st.none(), st.integers(1, 8)),
)
def test_splits_go_forward_and_end_at_the_end(m, min_periods, horizon, gap, n_splits):
    walk = WalkForward(n_splits, min_periods, horizon, gap)
    room = (m - min_periods - gap) // horizon
    if room < (n_splits or 1):
        with pytest.raises(cp.ModelError, match="splits"):
            list(walk.split(range(m)))
        return
    splits = list(walk.split(np.zeros(m)))
    assert len(splits) == walk.get_n_splits(range(m)) == (n_splits or room)
    for fit, score in splits:
        assert fit.tolist() == list(range(len(fit)))
        assert len(fit) >= min_periods
        assert score.tolist() == list(range(fit[-1] + 1 + gap, fit[-1] + 1 + gap + horizon))
    tested = np.concatenate([score for _, score in splits])
    assert tested.tolist() == list(range(m - len(tested), m))


def test_a_splitter_says_what_it_needs():
    assert WalkForward(3).get_n_splits() == 3
    with pytest.raises(cp.ModelError, match="give X or n_splits"):
        WalkForward().get_n_splits()
    with pytest.raises(cp.ModelError, match="horizon is 0"):
        WalkForward(horizon=0)


@pytest.fixture(scope="module")
def panel() -> cp.ReturnPanel:
    rng = np.random.default_rng(12)
    m, n = 14, 9
    values = 0.2 - rng.lognormal(-3, 0.8, n) * (rng.normal(size=(m, 1)) + rng.normal(size=(m, n)))
    values[rng.random((m, n)) < 0.1] = np.nan
    names = [f"c{i}" for i in range(n)]
    return cp.ReturnPanel.from_frame(pd.DataFrame(np.clip(values, -1, 0.25), columns=names))


def test_the_score_is_the_realised_variance_about_the_promise(panel):
    model = cp.CreditPortfolio([-1, 0.1, 0.25], 1, targets={}, budget=1e6).fit(panel[:10])
    w = model.allocation_.shares[list(panel.customers)].to_numpy()
    promised = np.nanmean(panel.values[:10], axis=0) @ w
    squares = []
    for r in panel.values[10:]:
        seen = ~np.isnan(r)
        squares.append(((w[seen] @ r[seen]) / w[seen].sum() - promised) ** 2)
    assert model.score(panel[10:]) == pytest.approx(-np.mean(squares), rel=1e-10)


def test_a_score_needs_a_sale(panel):
    model = cp.CreditPortfolio([-1, 0.1, 0.25], 1, targets={}, budget=1e6).fit(panel[:10])
    strangers = cp.ReturnPanel.from_frame(pd.DataFrame({"Z": [0.1, 0.2]}))
    with pytest.raises(cp.DataError, match="no customer with a share"):
        model.score(strangers)


def money(panel: cp.ReturnPanel) -> pd.Series:
    return pd.Series(np.linspace(1e5, 3e5, len(panel.customers)), index=panel.customers)


@pytest.mark.parametrize("kind", [pd.Series, dict])
def test_a_search_chooses_edges_smoothing_and_shrinkage(panel, kind):
    current = money(panel)
    grid = {
        "intervals": [[-1, 0.1, 0.25], [-1, 0.15, 0.25]],
        "smoothing": [0.0, 6.0],
        "shrinkage": [None, 0.2],
        "max_share": [0.3],
    }
    walk = WalkForward(3, min_periods=6, gap=1)
    base = cp.CreditPortfolio([-1, 0.25], 1)
    search = GridSearchCV(base, grid, cv=walk, error_score="raise")
    search.fit(panel, limits=kind(current * 1.6), current=kind(current))
    by_hand = []
    for parameters in search.cv_results_["params"]:
        scores = []
        for fit, score in walk.split(panel):
            model = cp.CreditPortfolio(good_from=1, **parameters)
            model.fit(panel[fit], limits=current * 1.6, current=current)
            scores.append(model.score(panel[score]))
        by_hand.append(np.mean(scores))
    assert search.cv_results_["mean_test_score"] == pytest.approx(by_hand, rel=1e-9)
    assert search.best_params_ == search.cv_results_["params"][int(np.argmax(by_hand))]
    assert search.best_estimator_.allocation_.certificate.holds
    assert len(set(np.round(by_hand, 12))) > 1


def test_tables_as_long_as_the_panel_are_cut_by_scikit_learn_and_refused(panel):
    short = panel[: len(panel.customers)]
    current = money(panel)
    walk = WalkForward(2, min_periods=4)
    search = GridSearchCV(
        cp.CreditPortfolio([-1, 0.1, 0.25], 1), {"max_share": [0.5]}, cv=walk, error_score="raise"
    )
    with pytest.raises(cp.DataError, match="current=lambda: table"):
        search.fit(short, current=current)
    search.fit(short, current=lambda: current)
    assert search.best_estimator_.allocation_.certificate.holds


# ------------------------------------------------------------------------- picking periods


def test_periods_are_picked_by_slice_positions_or_mask(panel):
    mask = np.zeros(len(panel), dtype=bool)
    mask[2:5] = True
    picked = [panel[2:5], panel[[2, 3, 4]], panel[np.arange(2, 5)], panel[mask], panel[mask, ...]]
    for part in picked:
        assert part.shape == (3, 9)
        np.testing.assert_array_equal(part.values, panel.values[2:5])
        np.testing.assert_array_equal(part.costs, panel.costs[2:5])
        assert part.periods.tolist() == [2, 3, 4]
    assert [part.picked for part in picked] == [False, True, True, True, True]
    assert len(panel[[]]) == 0


def test_periods_out_of_order_or_alone_are_refused(panel):
    with pytest.raises(cp.ModelError, match="in order of time"):
        panel[[3, 2]]
    with pytest.raises(cp.ModelError, match="in order of time"):
        panel[::-1]
    with pytest.raises(TypeError, match="as panel"):
        panel[3]
    with pytest.raises(TypeError, match="as panel"):
        panel[["2024Q1"]]
