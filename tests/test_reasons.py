"""Each reason occurs where it should, and what its sentence says is so."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from credit_portfolio.portfolio import CreditPortfolio
from credit_portfolio.returns.panel import ReturnPanel

EDGES = [-1, 0, 0.2, 0.25]


def independent(variances, m=16, seed=1):
    """Returns in (0, 0.2), uncorrelated in the sample, with these variances."""
    raw = np.random.default_rng(seed).normal(size=(m, len(variances)))
    basis = np.linalg.qr(np.column_stack([np.ones(m), raw]))[0][:, 1:]
    values = 0.1 + basis * np.sqrt((m - 1) * np.asarray(variances))
    assert ((values > 0) & (values < 0.2)).all()
    return pd.DataFrame(values, columns=list("ABCDEFGH")[: len(variances)])


def fit(frame, limits=None, floors=None, **options):
    options = {"targets": {}, "budget": 1000, "risk_model": "sample", "floor": None} | options
    model = CreditPortfolio(EDGES, 1, **options)
    return model.fit(ReturnPanel.from_frame(frame), limits=limits, floors=floors)


def marginal(model):
    """Slope of the variance in each share, by the dense covariance."""
    risk = model.risk_model_
    sigma = risk.factors.T @ risk.factors + np.diag(risk.idiosyncratic)
    return 2 * sigma @ model.solution_.x


VARIANCES = [1e-4, 2e-4, 4e-4, 4e-4]
# A loss of half a percent in four periods of sixteen: hardly any variance.
LOSSES = np.tile([-0.005, 0.005, 0.006, 0.007], 4)


def test_between_bounds_means_the_same_marginal_risk():
    model = fit(independent(VARIANCES))
    a = model.allocation_
    assert set(a.reasons) == {"between bounds"}
    assert a.customers["explanation"].tolist() == [
        f"{share:.2%} of the credit, {risk:.2%} of the risk; counting risk, one more unit costs as "
        "much here as elsewhere"
        for share, risk in zip(a.shares, a.customers["risk_share"], strict=True)
    ]
    assert a.customers["explanation"].iloc[0].startswith("50.00% of the credit, 50.00% of the risk")
    slope = marginal(model)
    np.testing.assert_allclose(slope, slope[0], rtol=1e-10)
    np.testing.assert_allclose(a.shares, np.array([4, 2, 1, 1]) / 8, atol=1e-10)


def test_where_a_target_presses_the_marginal_cost_counts_it():
    frame = independent(VARIANCES)
    frame["A"] = LOSSES  # the safest by variance, but often at a loss
    free, held = fit(frame), fit(frame, targets={0: 0.02})
    assert free.allocation_.evaluation["proposed"].iloc[0] > 0.1
    a = held.allocation_
    assert (a.reasons == "between bounds").all()
    assert a.customers["explanation"].str.contains("counting risk and targets").all()
    said = a.customers["explanation"].str.extract(r", (-?[\d.]+)% of the risk").astype(float)[0]
    np.testing.assert_allclose(said, 100 * a.customers["risk_share"], atol=0.0051)
    P, price = held.evaluation_matrix_.values[:, 0], held.solution_.duals.rows[1]
    slope = marginal(held)
    assert np.ptp(slope) > 0.1 * slope.max()  # by risk alone they differ
    counted = slope + price * P
    np.testing.assert_allclose(counted, counted[1], rtol=1e-9)


def test_at_limit_gives_limit_and_the_fall_of_the_deviation():
    limits = pd.Series({"A": 200.0, "B": 1000.0, "C": 1000.0, "D": 1000.0})
    model = fit(independent(VARIANCES), limits=limits, currency="EUR")
    row = model.allocation_.customers.loc["A"]
    assert row["reason"] == "at limit"
    assert row["amount"] == 200
    text = (
        r"takes the whole limit of 200\.00 EUR; at the margin the standard deviation falls by "
        r"([\d.,]+) EUR per 10,000 more of it"
    )
    stated = float(re.fullmatch(text, row["explanation"]).group(1).replace(",", ""))
    assert stated == pytest.approx(-row["limit_price"], abs=0.005)
    assert marginal(model)[0] < marginal(model)[1:].min()  # he would get more if he might


def test_at_limit_without_a_price_says_that_more_would_change_nothing():
    frame = pd.DataFrame({"A": [0.25] * 4, "B": [0.25] * 4})  # no risk at all
    a = fit(frame, limits={"A": 500.0, "B": 800.0}, floors={"A": 500.0}).allocation_
    assert a.reasons.to_dict() == {"A": "at limit", "B": "between bounds"}
    text = a.customers.loc["A", "explanation"]
    assert text == "takes the whole limit of 500.00; more of it would change nothing"
    assert a.customers.loc["A", "limit_price"] == 0


def test_at_largest_share_is_not_taken_for_a_limit():
    limits = pd.Series({"A": 900.0, "B": 300.0, "C": 1000.0, "D": 1000.0})
    a = fit(independent([1e-5, 1e-5, 4e-4, 4e-4]), limits=limits, max_share=0.4).allocation_
    assert a.reasons.to_dict() == {
        "A": "at largest share",
        "B": "at limit",
        "C": "between bounds",
        "D": "between bounds",
    }
    text = a.customers.loc["A", "explanation"]
    assert text == "takes the largest share allowed to one customer, 40.00%"


def test_at_floor_holds_more_than_he_would_get():
    frame = independent(VARIANCES)
    free = fit(frame).allocation_
    a = fit(frame, floors={"D": 300.0}, currency="EUR").allocation_
    assert a.reasons.to_dict()["D"] == "at floor"
    assert a.amounts["D"] == 300
    assert free.amounts["D"] < 300
    assert a.customers.loc["D", "explanation"].startswith("held at the floor of 300.00 EUR")


def test_no_share_costs_more_at_the_margin_than_the_going_rate():
    frame = independent(VARIANCES)
    # Moves with A but more strongly: any unit of it adds risk that A already carries.
    frame["E"] = 0.1 + 1.8 * (frame["A"] - 0.1) + 0.1 * (frame["B"] - 0.1)
    model = fit(frame)
    row = model.allocation_.customers.loc["E"]
    assert (row["reason"], row["share"], row["amount"]) == ("no share", 0, 0)
    slope = marginal(model)
    stated = re.fullmatch(
        r"no share: counting risk, a first unit here costs ([\d.]+)% more than the going rate",
        row["explanation"],
    )
    assert float(stated.group(1)) == pytest.approx(100 * (slope[4] / slope[0] - 1), abs=0.051)


def test_no_share_by_a_target_is_not_blamed_on_risk():
    frame = independent(VARIANCES)
    frame["A"] = LOSSES
    model = fit(frame, targets={0: 0.0})
    a = model.allocation_
    assert a.reasons["A"] == "no share"
    assert "counting risk and targets" in a.customers.loc["A", "explanation"]
    assert marginal(model)[0] < marginal(model)[1:].min()  # risk alone would speak for him


def test_each_exclusion_has_its_reason_and_keeps_its_row():
    frame = independent(VARIANCES)
    frame["new"] = [0.1, 0.12] + [np.nan] * 14
    frame["idle"] = np.nan
    limits = pd.DataFrame(
        {
            "limit": [900, 900, 0, 0, 900, 900, 900],
            "explanation": ["", "", "Net worth -200.00 is not above 0.", "", "", "", ""],
            "reason": ["", "", "net_worth_not_positive", "net_worth_not_positive", "", "", ""],
        },
        index=["A", "B", "C", "D", "new", "idle", "stranger"],
    )
    frame["unrated"] = frame["A"] + 0.001
    a = fit(frame, limits=limits).allocation_
    table = a.customers
    assert table.loc[["A", "B"], "reason"].tolist() == ["between bounds"] * 2
    expected = {
        "C": ("excluded: limit 0", "the limit is 0: Net worth -200.00 is not above 0."),
        "D": ("excluded: limit 0", "the limit is 0: net_worth_not_positive"),
        "new": (
            "excluded: too few periods",
            "2 mature periods with a sale, at least 3 are needed",
        ),
        "idle": (
            "excluded: no sales history",
            "no sale in a mature period, so there is no return to judge by",
        ),
        "stranger": (
            "excluded: no sales history",
            "no sale in a mature period, so there is no return to judge by",
        ),
        "unrated": (
            "excluded: no statement",
            "there is no statement, and so no limit, for this customer",
        ),
    }
    for customer, (reason, text) in expected.items():
        row = table.loc[customer]
        assert (row["reason"], row["explanation"]) == (reason, text)
        assert (row["share"], row["amount"], row["risk_share"]) == (0, 0, 0)
    assert a.summary["n_excluded"] == 6
    assert np.isnan(table.loc["unrated", "limit"]) or table.loc["unrated", "limit"] == 0
