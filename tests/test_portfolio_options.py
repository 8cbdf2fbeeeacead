"""Each further option of the model: what it asks holds, and the answer is the best under it."""

from __future__ import annotations

import cvxpy as cvx
import numpy as np
import pandas as pd
import pytest

import credit_portfolio as cp
from credit_portfolio.errors import DataError, InfeasibleError, ModelError
from credit_portfolio.evaluation.operators import OPERATORS, normalise

EDGES = [-1, 0, 0.1, 0.2, 0.25]
LABELS = pd.DataFrame(
    {
        "industry": ["food", "steel", "food", "steel", "retail"] * 6,
        "grade": list("AABBC") * 6,
    },
    index=[f"C{i:02d}" for i in range(30)],
)
# Objectives of a certified answer and of Clarabel agree to the looser of the two tolerances.
SAME = {"rel": 1e-6}


def panel_of(seed: int = 0, n: int = 30, m: int = 12) -> cp.ReturnPanel:
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 0.02, (m, 1))
    own = 0.22 + common + rng.normal(0, 0.03, (m, n)) * rng.uniform(0.3, 1.5, n)
    own = np.where(rng.random((m, n)) < 0.06, rng.uniform(-0.8, 0.1, (m, n)), own).clip(-1, 0.25)
    return cp.ReturnPanel.from_frame(pd.DataFrame(own, columns=list(LABELS.index[:n])))


def current_of(seed: int = 1) -> pd.Series:
    money = np.random.default_rng(seed).uniform(50, 400, 30)
    return pd.Series(money, index=LABELS.index)


def fitted(seed: int = 0, **options):
    today = current_of()
    model = cp.CreditPortfolio(
        **{"intervals": EDGES, "good_from": 2, "targets": {}, "unit": 0.01} | options
    )
    return model.fit(panel_of(seed), limits=3 * today, current=today, labels=LABELS)


def shares_of(model):
    return model.allocation_.shares.reindex(model.judged_).to_numpy()


def best(model, *conditions, more=0.0):
    """Solve the same by cvxpy: conditions are functions of the shares."""
    risk, today = model.risk_model_, current_of().reindex(model.judged_).to_numpy()
    w = cvx.Variable(len(today))
    caps = 3 * today / today.sum()
    own = cvx.sum_squares(risk.factors @ w) + risk.idiosyncratic @ cvx.square(w)
    asked = [cvx.sum(w) == 1, w >= 0, w <= caps, *(c(w) for c in conditions)]
    # In units of 1e-4, so that Clarabel's tolerances are small beside the variance.
    objective = 1e4 * (own + (more(w) if callable(more) else more))
    exact = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-11)
    return cvx.Problem(cvx.Minimize(objective), asked).solve(solver="CLARABEL", **exact) / 1e4


def variance_of(model):
    return model.allocation_.summary["standard_deviation"] ** 2


def test_a_group_keeps_its_floor_and_cap_and_is_priced():
    model = fitted(groups={"industry": {"food": 0.25, "retail": (0.3, None)}})
    share = model.allocation_.shares.groupby(LABELS["industry"]).sum()
    assert share["food"] <= 0.25 + 1e-9
    assert share["retail"] >= 0.3 - 1e-9
    food, retail = ((LABELS["industry"] == name).to_numpy() for name in ("food", "retail"))
    expected = best(model, lambda w: food @ w <= 0.25, lambda w: retail @ w >= 0.3)
    assert variance_of(model) == pytest.approx(expected, **SAME)
    kinds = model.allocation_.shadow_prices["kind"]
    assert set(kinds[kinds.index.str.startswith("industry = ")]) == {"group", "group amount"}


def test_the_expected_return_is_reached():
    mean = np.nanmean(panel_of().values, axis=0)
    model = fitted(min_return=float(np.quantile(mean, 0.7)))
    asked = float(np.quantile(mean, 0.7))
    assert model.allocation_.summary["mean_return"] == pytest.approx(asked)
    assert variance_of(model) == pytest.approx(best(model, lambda w: mean @ w >= asked), **SAME)


def test_no_more_is_moved_than_allowed():
    today = current_of()
    w0 = (today / today.sum()).to_numpy()
    free = fitted()
    model = fitted(max_turnover=0.1)
    w = shares_of(model)
    assert 0.5 * np.abs(w - w0).sum() == pytest.approx(0.1)
    assert 0.5 * np.abs(shares_of(free) - w0).sum() > 0.1
    expected = best(model, lambda w: 0.5 * cvx.norm1(w - w0) <= 0.1)
    assert variance_of(model) == pytest.approx(expected, **SAME)
    assert model.allocation_.summary["turnover"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("options", "blank"),
    [
        ({"max_turnover": 0.1}, ["budget"]),
        ({"turnover_cost": 1e-4}, ["budget"]),
        (
            {"operator": "balanced", "normalise": True, "targets": {0: 0.05}},
            ["target [-100 %, 0 %)"],
        ),
        ({"operator": "main_factor_decisive", "targets": {0: 0.02, 3: 0.1}}, ["budget"]),
        ({"operator": "bounded_sum", "targets": {0: 0.05}}, []),
    ],
)
def test_a_multiplier_that_is_no_price_is_not_told_as_one(options, blank):
    allocation = fitted(**options).allocation_
    prices = allocation.shadow_prices["standard_deviation"]
    assert set(blank) <= set(prices.index[prices.isna()])
    if blank:
        assert any("no price" in finding for finding in allocation.findings)
        return
    kept = prices["budget"]
    today, step = current_of(), 1e-4
    total = float(today.sum())
    more = fitted(budget=total * (1 + step), **options).allocation_.summary
    rise = more["standard_deviation_money"] - allocation.summary["standard_deviation_money"]
    assert kept == pytest.approx(rise / (total * step) * 10_000, rel=1e-3)


def test_a_target_that_holds_a_share_by_a_bound_is_told_as_binding():
    seen = fitted(operator="main_factor_prominent", targets={0: 0.001}).allocation_.evaluation
    assert seen["binding"].tolist() == [True, False, False, False]


def test_the_worst_periods_have_no_price_in_standard_deviation():
    customers = fitted(objective="cvar").allocation_.customers
    assert customers["limit_price"].isna().all()
    told = customers.query("reason == 'at limit'")["explanation"]
    assert len(told) > 0
    assert not told.str.contains("standard deviation").any()
    between = customers.query("reason == 'between bounds'")
    for risk, text in zip(between["risk_share"], between["explanation"], strict=True):
        assert f"{risk:.2%} of the risk" in text


def test_costs_of_moving_count():
    today, cost = current_of(), 2e-4
    w0 = (today / today.sum()).to_numpy()
    model = fitted(turnover_cost=cost)
    moved = np.abs(shares_of(model) - w0).sum()
    expected = best(model, more=lambda w: cost * cvx.norm1(w - w0))
    assert variance_of(model) + cost * moved == pytest.approx(expected, **SAME)


def test_the_worst_periods_can_be_the_objective():
    model = fitted(objective="cvar", tail=0.75)
    losses = np.sort(-(panel_of().values @ shares_of(model)))[::-1]
    assert model.allocation_.summary["tail_loss"] == pytest.approx(losses[:3].mean())
    least = np.sort(-(panel_of().values @ shares_of(fitted())))[::-1][:3].mean()
    assert losses[:3].mean() < least
    assert model.allocation_.shadow_prices["variance"].isna().all()


def test_a_target_with_confidence_keeps_a_margin():
    plain = fitted(targets={0: 0.016}, smoothing=4.0)
    sure = fitted(targets={0: 0.03}, smoothing=4.0, confidence=0.95)
    degree = [m.allocation_.evaluation["proposed"].iloc[0] for m in (plain, sure)]
    assert degree[0] <= 0.016 + 1e-9
    # The margin is of one side, the band of two: its upper end lies a little above the target.
    assert degree[1] < 0.03 < sure.allocation_.evaluation["credible_high"].iloc[0] < 0.036
    assert "target [-100 %, 0 %)" in sure.allocation_.shadow_prices.index


def test_the_margin_of_a_confidence_is_a_column_and_not_room_to_the_target():
    sure = fitted(targets={0: 0.03, 3: 0.2}, smoothing=4.0, confidence=0.95).allocation_.evaluation
    kept = sure["target"] - sure["proposed"]
    pressed = sure.index[0]
    assert sure.loc[pressed, "binding"]
    # The tangents of the cone are proved to the tolerance of the fit.
    assert sure.loc[pressed, "slack"] == pytest.approx(0, abs=1e-8)
    assert sure.loc[pressed, "margin"] == pytest.approx(kept[pressed], abs=1e-8)
    assert (sure["margin"] > 0).tolist() == [True, False, False, True]
    plain = fitted(targets={0: 0.03}, smoothing=4.0).allocation_.evaluation
    assert (plain["margin"] == 0).all()


def test_a_confidence_without_smoothing_is_refused():
    with pytest.raises(ModelError, match=r"confidence=0\.95 needs smoothing"):
        fitted(targets={0: 0.05}, confidence=0.95)


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_targets_hold_under_each_operator(operator, normalised):
    plain = fitted(operator=operator, normalise=normalised)
    asked = 0.8 * float(plain.allocation_.evaluation["proposed"].iloc[1])  # less than without it
    model = fitted(operator=operator, normalise=normalised, targets={1: asked})
    P = model.evaluation_matrix_.values
    degrees = OPERATORS[operator](shares_of(model), P)
    degrees = normalise(degrees) if normalised else degrees
    assert degrees[1] <= asked + 1e-8
    assert variance_of(model) > variance_of(plain)
    np.testing.assert_allclose(model.allocation_.evaluation["proposed"], degrees, atol=1e-9)
    if operator != "weighted_average":
        assert any("proved optimal" in finding for finding in model.allocation_.findings)


@pytest.mark.parametrize("normalised", [False, True])
def test_targets_hold_for_the_b_that_is_reported_where_some_have_no_limit(normalised):
    today = current_of()
    model = cp.CreditPortfolio(
        EDGES, 2, targets={2: 0.65}, operator="balanced", normalise=normalised, budget=3000
    )
    # Ten customers count in the columns' sums, and can get no share.
    allocation = model.fit(panel_of(), limits=3 * today.iloc[10:], current=today).allocation_
    degrees = OPERATORS["balanced"](shares_of(model), model.evaluation_matrix_.values)
    degrees = normalise(degrees) if normalised else degrees
    np.testing.assert_allclose(allocation.evaluation["proposed"], degrees, atol=1e-9)
    seen = allocation.evaluation.iloc[2]
    assert seen["proposed"] == pytest.approx(0.65, abs=1e-8)
    assert seen["binding"]


def test_a_line_or_a_target_that_nobody_can_meet_is_told_by_its_name():
    with pytest.raises(InfeasibleError, match=r"min_line is 9,000\.00, and the most .* is 1,1"):
        fitted(min_line=9000.0)
    with pytest.raises(InfeasibleError, match=r"loosen the minimum line of 1,100\.00, or"):
        fitted(min_line=1100.0)  # hardly anybody has such a limit
    with pytest.raises(InfeasibleError, match=r"loosen the targets under 'balanced', or") as told:
        fitted(operator="balanced", targets={0: 0.0, 3: 0.99})
    assert "line" not in str(told.value)


def test_a_normalised_mixture_is_the_mixture():
    options = {"targets": {0: 0.06}, "smoothing": 4.0, "confidence": 0.8, "max_turnover": 0.4}
    plain, normed = fitted(**options), fitted(**options, normalise=True)
    np.testing.assert_array_equal(shares_of(normed), shares_of(plain))
    band = normed.allocation_.evaluation["credible_high"]
    np.testing.assert_array_equal(band, plain.allocation_.evaluation["credible_high"])


def test_nobody_gets_less_than_the_minimum_line():
    model = fitted(min_line=300.0, max_share=0.2)
    amounts = model.allocation_.amounts
    assert (amounts[amounts > 0] >= 300 - 0.01).all()
    assert (fitted(max_share=0.2).allocation_.amounts.between(1, 299)).any()
    assert model.allocation_.summary["gap"] <= 1e-9


def test_a_minimum_line_survives_rounding_and_is_no_limit():
    allocation = fitted(min_line=300.0, max_share=0.2, unit=350.0).allocation_
    given = allocation.customers
    assert ((given["amount"] == 0) | (given["amount"] >= 300)).all()
    assert given["amount"].sum() == pytest.approx(allocation.summary["budget"])
    none = given[given["share"] == 0]
    assert len(none) > 0
    assert set(none["reason"]) == {"no share"}
    assert (none["limit_price"] == 0).all()
    assert not any(f"limit {name}" in allocation.shadow_prices.index for name in none.index)
    lined = given[given["share"] * allocation.summary["budget"] < 300 + 1e-6].query("share > 0")
    assert len(lined) > 0
    assert set(lined["reason"]) == {"held by line or target"}


@pytest.mark.parametrize("more", [{"max_turnover": 0.2}, {"objective": "cvar"}])
def test_what_branches_is_not_combined_in_silence(more):
    with pytest.raises(ModelError, match="branches, and is not solved together with"):
        fitted(min_line=300.0, **more)


def test_smoothing_draws_rows_towards_the_pool_or_the_class():
    plain, pooled = fitted(), fitted(smoothing=3.0)
    counts = plain.evaluation_matrix_.counts
    pool = counts.sum(axis=0) / counts.sum()
    expected = (counts + 3.0 * pool) / (counts.sum(axis=1, keepdims=True) + 3.0)
    np.testing.assert_allclose(pooled.evaluation_matrix_.values, expected, atol=1e-12)
    own = fitted(smoothing=3.0, classes="grade").evaluation_matrix_.values
    assert np.abs(own - expected).max() > 1e-3


def test_classes_by_profile_can_be_capped():
    found = fitted(smoothing=2.0, classes=3)
    names = found.classes_.names
    members = np.array(names, dtype=object)[found.classes_.codes] == names[0]
    before = shares_of(found)[members].sum()
    capped = fitted(smoothing=2.0, classes=3, groups={"class": {names[0]: before / 2}})
    assert shares_of(capped)[members].sum() <= before / 2 + 1e-9


def test_newcomers_are_judged_by_their_class_and_marked():
    frame = panel_of().to_frame()
    frame.loc[frame.index[1:], "C07"] = np.nan  # one period of his own
    panel = cp.ReturnPanel.from_frame(frame)
    today = current_of()
    today["C99"] = 100.0  # never bought
    labels = pd.concat(
        [LABELS, pd.DataFrame({"industry": ["food"], "grade": ["B"]}, index=["C99"])]
    )
    options = {"intervals": EDGES, "good_from": 2, "targets": {}, "smoothing": 4.0}
    given = {"limits": 3 * today, "current": today, "labels": labels}
    left = cp.CreditPortfolio(**options, classes="grade").fit(panel, **given).allocation_
    assert left.reasons[["C07", "C99"]].str.startswith("excluded").all()
    model = cp.CreditPortfolio(**options, classes="grade", newcomers="borrow").fit(panel, **given)
    rows = model.allocation_.profiles
    assert rows["borrowed"][rows["borrowed"]].index.tolist() == ["C07", "C99"]
    code = model.classes_.names.index("B")
    own = model.classes_.codes == code
    np.testing.assert_allclose(
        rows.loc["C99", list(model.targets_.intervals.names)].to_numpy(dtype=float),
        cp.smooth(
            model.evaluation_matrix_.counts,
            model.evaluation_matrix_.periods,
            strength=4.0,
            classes=model.classes_.codes,
        ).priors[code],
        atol=1e-12,
    )
    series = np.nanmean(panel.select(model.judged_[own & ~rows["borrowed"].to_numpy()]), axis=1)
    place = model.judged_.get_loc("C99")
    np.testing.assert_allclose(model.returns_[:, place], series, atol=0.02)
    assert any("too few periods" in finding for finding in model.allocation_.findings)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"confidence": "0.95"}, TypeError, "confidence is '0.95'; expected a number"),
        ({"smoothing": None}, TypeError, "smoothing is None; expected a number"),
        ({"smoothing": True}, TypeError, "smoothing is True; expected a number"),
        ({"min_line": [1]}, TypeError, r"min_line is \[1\]; expected a number"),
        ({"max_turnover": "x"}, TypeError, "max_turnover is 'x'; expected a number"),
        ({"groups": "industry"}, TypeError, "groups is 'industry'; expected a mapping"),
        ({"groups": {"industry": 0.3}}, TypeError, "expected a mapping from column to label"),
        ({"variance_weight": 1.0}, ModelError, "the objective is the variance alone"),
        ({"confidence": 0.9, "smoothing": 2.0}, ModelError, "no interval has a target"),
    ],
)
def test_parameters_that_say_nothing_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        fitted(**options)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (LABELS.reset_index(drop=True), DataError, "no customer has both labels and a history"),
        ({"industry": ["food"] * 30}, TypeError, "column 'industry' of labels is a list"),
        (
            {
                "industry": pd.concat([LABELS["industry"], LABELS["industry"].iloc[:2]]),
                "grade": LABELS["grade"],
            },
            DataError,
            "column 'industry' of labels has customers more than once: 'C00', 'C01'",
        ),
    ],
)
def test_labels_that_belong_to_nobody_are_refused(labels, error, message):
    model = cp.CreditPortfolio(EDGES, 2, targets={}, classes="industry", smoothing=2.0)
    with pytest.raises(error, match=message):
        model.fit(panel_of(), current=current_of(), labels=labels)


def test_labels_that_a_search_has_cut_are_refused():
    model = cp.CreditPortfolio(EDGES, 2, targets={}, classes="industry", smoothing=2.0)
    options = {"current": current_of(), "labels": LABELS.iloc[:24]}
    picked = panel_of(m=30)[list(range(24))]  # as scikit-learn takes them
    with pytest.raises(DataError, match="pass labels=lambda: table"):
        model.fit(picked, **options)
    whole = model.fit(picked, current=current_of(), labels=lambda: LABELS)
    assert whole.classes_.names == ("food", "retail", "steel")


def test_a_number_of_classes_may_come_from_numpy():
    assert fitted(classes=np.int64(3), smoothing=2.0).classes_.n_classes == 3


def test_newcomers_need_smoothing():
    with pytest.raises(ModelError, match="needs smoothing above 0"):
        fitted(newcomers="borrow")


def test_fuzzy_intervals_give_degrees_that_sum_to_one():
    intervals = cp.ReturnIntervals(EDGES, 2, membership="trapezoidal", width=0.4)
    model = fitted(intervals=intervals, good_from=None)
    np.testing.assert_allclose(model.evaluation_matrix_.values.sum(axis=1), 1.0, atol=1e-12)
    seen = model.allocation_.evaluation[["proposed_periods", "simulated", "proposed"]]
    np.testing.assert_allclose(seen.sum(), 1.0, atol=1e-9)


def test_a_given_shrinkage_is_used():
    model = fitted(shrinkage=0.3)
    assert model.risk_model_.shrinkage == 0.3
    for wrong in ({"shrinkage": 1.2}, {"shrinkage": 0.5, "risk_model": "sample"}):
        with pytest.raises(ModelError, match="shrinkage is"):
            fitted(**wrong)


def test_several_controls_hold_together():
    mean = np.nanmean(panel_of().values, axis=0)
    model = fitted(
        targets={0: 0.06},
        smoothing=4.0,
        confidence=0.8,
        groups={"industry": {"food": 0.35}},
        min_return=float(np.quantile(mean, 0.6)),
        max_turnover=0.4,
    )
    a = model.allocation_
    assert a.certificate.holds
    assert a.summary["mean_return"] >= float(np.quantile(mean, 0.6)) - 1e-9
    assert a.summary["turnover"] <= 0.4 + 1e-9
    assert a.shares.groupby(LABELS["industry"]).sum()["food"] <= 0.35 + 1e-9


def test_groups_need_labels_and_a_customer_without_one_is_told():
    today = current_of()
    model = cp.CreditPortfolio(EDGES, 2, targets={}, groups={"industry": {"food": 0.4}})
    with pytest.raises(ModelError, match="fit got no labels"):
        model.fit(panel_of(), limits=3 * today, current=today)
    with pytest.raises(DataError, match="label"):
        model.fit(panel_of(), limits=3 * today, current=today, labels=LABELS.iloc[:-1])


def test_an_infeasible_book_is_explained():
    with pytest.raises(InfeasibleError) as caught:
        fitted(targets={0: 0.0, 3: 0.99})
    told = caught.value.explanation
    assert told is not None
    assert set(caught.value.conflict) == set(told.names)
    assert "Nearest that can be met" in str(caught.value)


def test_a_confidence_out_of_reach_is_told_with_the_one_that_can_be_had():
    options = {"targets": {0: 0.02}, "smoothing": 4.0}
    fitted(**options)
    with pytest.raises(InfeasibleError, match="One move alone: the confidence down to") as caught:
        fitted(**options, confidence=0.9999)
    most = float(str(caught.value).split("the confidence down to ")[1].split(" %")[0]) / 100
    assert fitted(**options, confidence=most).allocation_.certificate.holds
    with pytest.raises(InfeasibleError):
        fitted(**options, confidence=most + 0.0015)  # told to a tenth of a percent, found to less


def test_a_turnover_out_of_reach_is_told_with_the_least_that_will_do():
    free = fitted()
    now = free.allocation_.evaluation["current"].iloc[0]
    options = {"targets": {0: float(now) / 2}}
    with pytest.raises(InfeasibleError, match="One move alone: the turnover up to") as caught:
        fitted(**options, max_turnover=0.02)
    least = float(str(caught.value).split("the turnover up to ")[1].split(" %")[0]) / 100
    assert fitted(**options, max_turnover=least).allocation_.certificate.holds
    with pytest.raises(InfeasibleError):
        fitted(**options, max_turnover=least - 0.0015)


def test_models_that_bend_have_no_frontier():
    with pytest.raises(ModelError, match="stands for its optimum alone"):
        cp.frontier(fitted(max_turnover=0.1), points=3)


def test_classes_can_be_the_unit():
    today = current_of()
    model = cp.CreditPortfolio(EDGES, 2, targets={}, unit=0.01)
    found = cp.allocate_by_class(
        model, panel_of(), LABELS["industry"], limits=3 * today, current=today
    )
    per_class = found.amounts.groupby(found.labels).sum()
    pd.testing.assert_series_equal(
        per_class, found.classes.amounts.reindex(per_class.index), check_names=False, rtol=1e-9
    )
    use = found.amounts / (3 * today)
    # In proportion to limits, but for cents.
    assert use.groupby(found.labels).apply(lambda part: np.ptp(part) < 1e-3).all()


@pytest.mark.parametrize(
    ("options", "given", "error", "message"),
    [
        ({"max_share": 0.9}, {}, ModelError, "max_share of the model is about single customers"),
        ({"min_line": 10.0}, {}, ModelError, "min_line of the model is about single customers"),
        ({}, {"labels": LABELS}, TypeError, "labels is a DataFrame"),
        ({}, {"labels": {"X": "food"}}, DataError, "no customer has both a class and a sale"),
        ({}, {"limits": pd.DataFrame({"lim": current_of()})}, DataError, "expected one named"),
        ({}, {"panel": panel_of().to_frame()}, TypeError, "expected a ReturnPanel"),
    ],
)
def test_what_classes_cannot_be_made_of_is_refused(options, given, error, message):
    model = cp.CreditPortfolio(EDGES, 2, targets={}, **options)
    told = {"panel": panel_of(), "labels": LABELS["industry"], "limits": 3 * current_of()} | given
    with pytest.raises(error, match=message):
        cp.allocate_by_class(model, **told)
