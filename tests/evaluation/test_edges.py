"""Proposed edges: what they mean in money and days, and that no interval is ever empty."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.evaluation.edges import (
    cost_of_funds_edges,
    fixed_edges,
    names_by_meaning,
    quantile_edges,
)
from credit_portfolio.evaluation.intervals import ReturnIntervals

R, F = 0.25, 0.08  # markup on cost, funding rate per year
ALGEBRA = 1e-12


def held(intervals: ReturnIntervals, returns: Any) -> list[int]:
    index = intervals.index(np.asarray(returns))
    return np.bincount(index[index >= 0], minlength=intervals.n_intervals).tolist()


# ------------------------------------------------------------------------------------------ names


def test_names_say_what_the_returns_of_an_interval_mean() -> None:
    assert names_by_meaning([-1, 0, 0.15, 0.2, 0.235, 0.25], R) == (
        "loss",
        "thin margin",
        "reduced margin",
        "nearly full",
        "full margin",
    )


def test_an_interval_over_several_parts_is_named_by_its_ends() -> None:
    assert names_by_meaning([-1, 0.1, 0.24, 0.25], R) == (
        "loss to thin margin",
        "thin margin to full margin",
        "full margin",
    )


def test_names_that_would_be_the_same_get_their_range() -> None:
    assert names_by_meaning([-1, -0.5, 0, 0.25], R) == (
        "loss [-100 %, -50 %)",
        "loss [-50 %, 0 %)",
        "thin margin to full margin",
    )
    assert names_by_meaning([0.24, 0.245, 0.25], R)[1] == "full margin [24.5 %, 25 %]"


def test_below_the_cost_of_funds_has_a_name_where_returns_do_not_bear_it() -> None:
    found = names_by_meaning([-1, 0, 0.02, 0.15, 0.25], R, cost_of_funds=0.02)
    assert found[:3] == ("loss", "below cost of funds", "thin margin")
    # Funds that cost 17 % leave nothing of the thin margin, and the reduced one begins there.
    dear = names_by_meaning([-1, 0, 0.17, 0.2, 0.25], R, cost_of_funds=0.17)
    assert dear[1:3] == ("below cost of funds", "reduced margin")


def test_a_markup_out_of_rounding_names_the_same() -> None:
    edges = [-1.0, 0.0, 0.6 * 0.3, 0.8 * 0.3, 0.94 * 0.3, 0.3]
    rounded = [round(e, 12) for e in edges]
    assert names_by_meaning(edges, 0.3) == names_by_meaning(rounded, 0.3)
    for nudge in (1e-11, -1e-11):
        nudged = [e + nudge for e in edges]
        assert names_by_meaning(nudged, 0.3) == names_by_meaning(rounded, 0.3)


@given(
    st.lists(st.integers(-1000, 1000), min_size=2, max_size=9, unique=True),
    st.floats(0.01, 3),
    st.floats(0, 0.99),
)
def test_any_edges_get_names_that_intervals_accept(
    edges: list[int], markup: float, part: float
) -> None:
    v = [e / 500 for e in sorted(edges)]
    ReturnIntervals(v, 0, names_by_meaning(v, markup, cost_of_funds=part * markup))


# ---------------------------------------------------------------------------------- cost of funds


def net_return(days_late: float, terms_days: float = 30) -> float:
    """The return of a sale paid in full, as the return rule defines it: r = R − f d/365."""
    return R - F * (terms_days + days_late) / 365


def test_net_of_funds_the_edges_are_days_late() -> None:
    v = cost_of_funds_edges(R, F)
    assert v.names == ("loss", "below cost of funds", "late", "nearly full", "full margin")
    paid = [net_return(days) for days in (-30, 0, 29, 31, 89, 91, 400)]
    assert [v.names[j] for j in v.index(paid)] == [
        "full margin",
        "full margin",
        "full margin",
        "nearly full",
        "nearly full",
        "late",
        "late",
    ]
    assert v.good_from == 3
    # The cost of the goods is back but not the funds over the terms; then not even that.
    funds = F * 30 / 365
    assert [v.names[j] for j in v.index([1e-6, -1e-6, -funds + 1e-6, -funds - 1e-6, -1])] == [
        "late",
        "below cost of funds",
        "below cost of funds",
        "loss",
        "loss",
    ]


def test_a_return_at_exactly_so_many_days_late_is_in_the_better_interval() -> None:
    v = cost_of_funds_edges(R, F)
    assert [v.names[j] for j in v.index([net_return(30), net_return(90)])] == [
        "full margin",
        "nearly full",
    ]


def test_before_funds_the_same_edges_lie_higher_by_the_terms() -> None:
    net, gross = (cost_of_funds_edges(R, F, net=net) for net in (True, False))
    assert gross.names == net.names
    # All but the ends: the gross scale has the terms' funds still in it.
    assert gross.edges[1:-1] - net.edges[1:-1] == pytest.approx(F * 30 / 365, abs=ALGEBRA)
    assert gross.edges[[0, 1, -1]].tolist() == [-1, 0, R]


def test_each_more_day_makes_an_interval_of_its_own() -> None:
    v = cost_of_funds_edges(R, F, days=(15, 30, 60, 90))
    assert v.names == (
        "loss",
        "below cost of funds",
        "late",
        "up to 90 days late",
        "up to 60 days late",
        "up to 30 days late",
        "full margin",
    )
    found = [v.names[j] for j in v.index([net_return(d) for d in (10, 20, 45, 75, 120)])]
    assert found == [v.names[j] for j in (6, 5, 4, 3, 2)]
    assert v.good_from == 3
    assert cost_of_funds_edges(R, F, days=[45]).names[2:] == ("late", "full margin")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"markup": 0}, "the markup is 0; expected a finite number above 0"),
        ({"funding_rate": 0}, "the funding rate is 0; expected"),
        ({"funding_rate": np.inf}, "the funding rate is inf"),
        ({"terms_days": -1}, "terms_days is -1"),
        ({"days": ()}, r"days is \(\); expected one number"),
        ({"days": (90, 30)}, "days past due that increase"),
        ({"days": (-5, 30)}, "from 0 or more"),
        ({"days": (0, 30), "net": False}, "begin with a day past due"),
        ({"days": (30, 2000)}, "a sale paid 2000 days late leaves -0.19.*give fewer days"),
        ({"funding_rate": 13.0}, "give fewer days"),
    ],
)
def test_funds_and_days_that_make_no_edges_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        cost_of_funds_edges(**({"markup": R, "funding_rate": F} | arguments))


# ------------------------------------------------------------------------------------ equal width


def test_equal_widths_run_from_total_loss_to_the_markup() -> None:
    v = fixed_edges(R, 5)
    assert v.edges.tolist() == [-1, -0.75, -0.5, -0.25, 0, 0.25]
    assert v.good_from == 4
    assert np.diff(fixed_edges(0.3, 7).edges) == pytest.approx(1.3 / 7)
    assert str(fixed_edges(R, 5).edges[4]) == "0.0"  # not −0
    thirteen = fixed_edges(0.3, 13).edges.tolist()
    assert thirteen == [round(-1 + j / 10, 12) for j in range(14)]


def test_equal_widths_put_every_normal_customer_in_the_top_interval() -> None:
    normal = np.linspace(0.8 * R, R, 50)
    assert held(fixed_edges(R, 5), normal) == [0, 0, 0, 0, 50]
    assert "bad choice" in (inspect.getdoc(fixed_edges) or "")


def test_good_is_what_begins_high_enough_and_always_the_last_interval() -> None:
    assert fixed_edges(R, 5, good_above=-0.3).good_from == 3
    assert fixed_edges(R, 4).good_from == 3  # the last begins at −6.25 %
    with pytest.raises(ModelError, match="good_above is nan"):
        fixed_edges(R, 5, good_above=np.nan)


@pytest.mark.parametrize("n", [0, -1, 2.5, True])
def test_a_number_of_intervals_that_is_none_is_refused(n: Any) -> None:
    for propose in (lambda: fixed_edges(R, n), lambda: quantile_edges([0.1, 0.2], n)):
        with pytest.raises(ModelError, match="number of intervals is"):
            propose()


# -------------------------------------------------------------------------------------- quantiles


def test_quantiles_share_out_the_returns_evenly() -> None:
    rng = np.random.default_rng(1)
    returns = rng.uniform(-0.5, 0.25, (20, 50))
    returns[rng.random((20, 50)) < 0.2] = np.nan
    v = quantile_edges(returns, 5, markup=R)
    counts = np.array(held(v, returns))
    assert counts.sum() == (~np.isnan(returns)).sum()
    # No ties, so that cuts are at the nearest return: a return more or less after each rounding.
    assert counts.max() - counts.min() <= 2
    assert v.edges[[0, -1]].tolist() == [-1, R]


def test_payment_in_full_and_total_loss_take_intervals_of_their_own() -> None:
    returns = [R] * 70 + [-1] * 20 + [0.1, 0.15, 0.18, 0.19, 0.2, 0.21, 0.22, 0.23, 0.24, 0.245]
    assert held(quantile_edges(returns, 4, markup=R), returns) == [20, 5, 5, 70]
    assert held(quantile_edges(returns, 3, markup=R), returns) == [20, 10, 70]
    assert held(quantile_edges(returns, 2, markup=R), returns) == [30, 70]
    assert held(quantile_edges(returns, 12, markup=R), returns) == [20, *[1] * 10, 70]


def test_a_cut_is_made_at_the_nearest_to_an_equal_part() -> None:
    returns = [0.1] * 45 + [0.2] * 20 + [R] * 35
    assert held(quantile_edges(returns, 2, markup=R), returns) == [45, 55]
    returns = [0.1] * 30 + [0.2] * 25 + [R] * 45
    assert held(quantile_edges(returns, 2, markup=R), returns) == [55, 45]


def test_a_mass_point_between_others_does_not_leave_an_interval_empty() -> None:
    returns = [-1, -0.5, -0.2] + [0.2] * 50 + [0.21, 0.22, 0.25]
    for n in range(1, 8):
        counts = held(quantile_edges(returns, n, markup=R), returns)
        assert len(counts) == n
        assert min(counts) >= 1


def test_edges_are_round_and_lie_well_between_returns() -> None:
    returns = [-0.31, -0.3, 0.171, 0.172, 0.2351, 0.2379]
    v = quantile_edges(returns, 3, markup=R)
    assert v.edges.tolist() == [-1, 0, 0.2, R]
    apart = np.abs(np.subtract.outer(returns, v.edges[1:-1])).min()
    assert apart > 0.02


@given(
    st.lists(
        st.one_of(
            st.floats(-1.2, 0.25),
            st.sampled_from([-1.0, 0.0, 0.2, 0.25]),
            st.sampled_from([0.25, -1.0, 0.1]).flatmap(
                lambda r: st.sampled_from([1e-17, 1e-12, 1e-9, 3e-9, 9e-9, 2e-8]).map(
                    lambda nudge: r - nudge
                )
            ),
        ),
        min_size=1,
        max_size=60,
    ),
    st.integers(1, 9),
)
def test_there_are_as_many_intervals_as_asked_for_each_with_a_return_or_an_error(
    returns: list[float], n: int
) -> None:
    distinct = int((np.diff(np.sort(returns)) > 1e-8).sum()) + 1
    if distinct < n:  # values that differ by no more than rounding are one
        with pytest.raises(DataError, match="different values, too few"):
            quantile_edges(returns, n, markup=R)
        return
    v = quantile_edges(returns, n, markup=R)
    assert v.n_intervals == n
    counts = held(v, returns)
    assert min(counts) >= 1
    assert sum(counts) == len(returns)
    assert not v.outside(returns).any()


def test_dense_returns_are_divided_although_no_two_are_distinct() -> None:
    # 600,000 returns within 0.2 basis points, and payment in full: neighbours are 3e-11 apart.
    dense = np.r_[np.linspace(0.24, 0.24002, 600_000), np.full(10_000, R)]
    v = quantile_edges(dense, 4, markup=R)
    counts = np.array(held(v, dense))
    # Cells of 1e-6 hold 30,000 of them, and a cut is at the nearest.
    assert np.abs(counts - 152_500).max() < 60_000


def test_without_a_markup_the_scale_ends_at_the_largest_return() -> None:
    v = quantile_edges([-1.02, 0.1, 0.2, 0.23], 2)
    assert v.edges[[0, -1]].tolist() == [-1.02, 0.23]
    assert v.names[-1] == names_by_meaning(v.edges, 0.23)[-1]


@pytest.mark.parametrize(
    ("returns", "arguments", "message"),
    [
        ([], {}, "there are no returns"),
        ([np.nan, np.nan], {}, "there are no returns"),
        ([0.1, np.inf], {}, "1 returns are infinite"),
        ([0.1, 0.3], {"markup": R}, "largest return is 0.3, above the markup of 0.25"),
        ([0.1, 0.2, 0.2, 0.2 + 1e-12], {"n": 3}, "the 4 returns take only 2 different values"),
    ],
)
def test_returns_without_quantiles_are_refused(returns: Any, arguments: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        quantile_edges(returns, **({"n": 2} | arguments))


def test_nothing_but_losses_needs_a_markup() -> None:
    with pytest.raises(ModelError, match=r"largest return, where the scale would end, is -0\.1"):
        quantile_edges([-0.5, -0.1], 2)
    assert held(quantile_edges([-0.5, -0.1], 2, markup=R), [-0.5, -0.1]) == [1, 1]


def test_proposed_edges_can_be_made_fuzzy() -> None:
    v = cost_of_funds_edges(R, F).fuzzy("trapezoidal")
    on_time_and_lost = v.degrees([net_return(0), -1.0])
    assert on_time_and_lost.tolist() == [[0, 0, 0, 0, 1], [1, 0, 0, 0, 0]]
    # 30 days late is on the edge between full and nearly full.
    assert v.degrees(net_return(30)) == pytest.approx([0, 0, 0, 0.5, 0.5], abs=1e-9)
